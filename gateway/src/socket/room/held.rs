use std::collections::VecDeque;

use outlast_store::Answer;

/// What a room has answered while an earlier answer waits for entries before it, in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    answers: VecDeque<Answer>,
    bytes: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, answer: Answer) {
        self.bytes += answer.bytes();
        self.answers.push_back(answer);
    }

    pub(super) fn pop(&mut self) -> Option<Answer> {
        let answer = self.answers.pop_front();
        match &answer {
            Some(answer) => self.bytes -= answer.bytes(),
            None => self.answers = VecDeque::new(),
        }
        answer
    }
}
