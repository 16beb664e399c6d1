//! A room of one's own: `cargo run --example button -- --pages examples/button`, and then
//! http://127.0.0.1:8080. docs/writing-a-room.md goes through it.

use outlast::{At, Cx, Input, Member, Refusal, Registry, Room};
use serde::{Deserialize, Serialize};

/// A button that everybody may push, `button/NAME`.
#[derive(Default, Serialize, Deserialize)]
struct Button {
    pushes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Pushed { times: u64 },
}

impl Room for Button {
    const KIND: &'static str = "button";
    type Join = ();
    type Action = u64;
    type Event = Event;

    fn handle(&self, input: Input<(), u64>, cx: &mut Cx<Event>) -> Result<(), Refusal> {
        if let Input::Act { action: times, .. } = input {
            if times == 0 {
                return Err(Refusal::new("too_gentle", "push at least once"));
            }
            cx.emit(Event::Pushed { times });
        }
        Ok(())
    }

    fn apply(&mut self, event: Event, _at: At) {
        match event {
            Event::Pushed { times } => self.pushes += times,
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        self
    }
}

fn main() -> std::process::ExitCode {
    outlast::main(Registry::bundled().with::<Button>())
}

#[cfg(test)]
mod tests {
    use outlast::testing::Stage;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_push_counts() {
        let mut stage = Stage::<Button>::new();
        stage.given(Some(1), &Event::Pushed { times: 2 });
        stage.join(7, json!(null)).is_taken();
        stage
            .act(7, json!(3))
            .happens([json!({"pushed": {"times": 3}})]);
        assert_eq!(stage.view(7), json!({"pushes": 5}));
        stage.restart();
        assert_eq!(stage.view(7), json!({"pushes": 5}));
    }

    #[test]
    fn no_push_is_refused() {
        let mut stage = Stage::<Button>::new();
        stage.join(7, json!(null)).is_taken();
        stage.act(7, json!(0)).is_refused("too_gentle");
        stage.act(7, json!("hard")).is_refused("bad_action");
    }
}
