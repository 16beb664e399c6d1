//! A feed, and a store that has lost what it had acknowledged; or a connection that lost its news.

use super::*;

#[test]
fn r4_nobody_is_told_to_go_on_from_an_entry_that_the_store_may_have_lost() {
    let mut log = Log::default();
    let mut core = Core::new(1_000);
    log.commit(&[0]);
    core.seed(log.end());
    let lost = log.commit(&[0]);
    core.announce(Pos { off: 1, tag: 1 }, lost.clone(), Vec::new());
    log.lose(1);
    log.commit(&[0, 0]);
    let end = log.end();

    // The connection was lost and is back: the log is asked, and has not answered yet.
    core.refresh();
    let mut cursor = Cursor::new(lost[0].pos);
    let mut places = vec![core.check(&mut cursor, end)];
    while let Some(read) = core.poll_read() {
        match read {
            LogRead::Refresh => {
                let head = core.head();
                core.absorb(head, log.read(head.off, REFRESH_MAX));
            }
            LogRead::LogSlice { number, refreshes } => {
                let (from, max) = Segment::range(number);
                core.insert(number, refreshes, log.read(from, max));
            }
        }
        places.push(core.check(&mut cursor, end));
    }
    let diverged = places.pop();
    assert_eq!(diverged, Some(Pulled::Lost(SnapshotReason::Diverged)));
    assert!(
        places.iter().all(|place| *place == Pulled::Wait),
        "{places:?}"
    );
}

/// Reads what the feed wants to have read, until it wants nothing.
fn answer_all(core: &mut Core, log: &Log) {
    while let Some(read) = core.poll_read() {
        match read {
            LogRead::Refresh => {
                let head = core.head();
                core.absorb(head, log.read(head.off.max(1), REFRESH_MAX));
            }
            LogRead::LogSlice { number, refreshes } => {
                let (from, max) = Segment::range(number);
                core.insert(number, refreshes, log.read(from, max));
            }
        }
    }
}

#[test]
fn r4_news_of_another_history_do_not_continue_this_one() {
    let mut log = Log::default();
    let mut core = Core::new(1_000);
    log.commit(&[0]);
    core.seed(log.end());
    let prev = log.end();
    let lost = log.commit(&[0]);
    core.announce(prev, lost.clone(), Vec::new());
    let mut cursor = Cursor::new(lost[0].pos);
    log.lose(1);
    log.commit(&[0]);
    // The entry in the place of the lost one goes unheard; what follows fits by its number alone, and is
    // heard before anything is said of a lost connection.
    let prev = log.end();
    let news = log.commit(&[0]);
    core.announce(prev, news, Vec::new());
    answer_all(&mut core, &log);
    let mut place = Pulled::Wait;
    while place == Pulled::Wait {
        place = core.pull(&mut cursor, |item| panic!("{:?} is given", item.entry.pos));
        answer_all(&mut core, &log);
    }
    assert_eq!(place, Pulled::Lost(SnapshotReason::Diverged));
}

#[test]
fn r4_signals_tell_of_entries_that_went_unheard() {
    let mut log = Log::default();
    let mut core = Core::new(1_000);
    core.seed(log.end());
    log.commit(&[0]);
    core.announce(log.end(), Vec::new(), vec![Payload::null()]);
    answer_all(&mut core, &log);
    assert_eq!(core.head(), log.end());
}

#[test]
fn r4_a_rooms_answer_may_be_heard_before_missed() {
    let mut log = Log::default();
    let mut core = Core::new(1_000);
    log.commit(&[0]);
    core.seed(log.end());
    let prev = log.end();
    let lost = log.commit(&[0, 0]);
    core.announce(prev, lost.clone(), Vec::new());
    log.lose(2);
    // The room answers where the log is shorter, as long, and longer than what the client has read.
    for _ in 0..3 {
        let end = log.end();
        let mut cursor = Cursor::new(lost[0].pos);
        let mut place = core.check(&mut cursor, end);
        while place == Pulled::Wait {
            answer_all(&mut core, &log);
            place = core.check(&mut cursor, end);
        }
        assert_eq!(place, Pulled::Lost(SnapshotReason::Diverged), "after {end}");
        log.commit(&[0]);
    }
}

#[test]
fn e1_a_feed_is_not_set_back_by_what_was_read_before_it_was_seeded() {
    let mut log = Log::default();
    for _ in 0..3 {
        log.commit(&[0; 500]);
    }
    log.trim(100);
    // The connection was lost and is back, while somebody reads the log's end: that comes first …
    let mut core = Core::new(1_000);
    core.refresh();
    let early = (core.poll_read(), core.head(), log.read(1, REFRESH_MAX));
    let prev = log.end();
    let news = log.commit(&[0]);
    core.announce(prev, news, Vec::new());
    core.seed(log.end());
    if let (Some(LogRead::Refresh), head, read) = early {
        core.absorb(head, read);
    }
    answer_all(&mut core, &log);
    assert_eq!(core.head(), log.end());

    // … or last.
    let mut core = Core::new(1_000);
    let end = log.end();
    log.commit(&[0]);
    core.refresh();
    answer_all(&mut core, &log);
    core.seed(end);
    answer_all(&mut core, &log);
    assert_eq!(core.head(), log.end());
}

#[test]
fn e1_what_is_announced_during_a_refresh_is_not_lost_to_it() {
    let mut log = Log::default();
    let mut core = Core::new(1_000);
    log.commit(&[0]);
    core.seed(log.end());
    core.refresh();
    let head = core.head();
    // The log has outgrown the window when it is read, and grows on before that arrives.
    let mut news = Vec::new();
    for _ in 0..5 {
        let prev = log.end();
        news.push((prev, log.commit(&[0; 300])));
    }
    core.poll_read();
    let read = log.read(head.off, REFRESH_MAX);
    let prev = log.end();
    news.push((prev, log.commit(&[0])));
    for (prev, entries) in news {
        core.announce(prev, entries, Vec::new());
    }
    core.absorb(head, read);
    answer_all(&mut core, &log);
    assert_eq!(core.head(), log.end());
}
