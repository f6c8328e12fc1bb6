//! One JSON object a line.

use std::io::{self, Write};

use crate::support::{build, draw, end, log, over, queued, start};
use hm_plugin_protocol::{BuildStatus, Sequenced, StepStatus, Stream};
use hm_render::{JsonRenderer, Renderer};

#[test]
fn every_event_is_an_object_on_a_line_of_its_own() {
    let mut events = build(1);
    events.extend([
        queued(0, "a", "line\nbreak"),
        start(0, None),
        log(0, Stream::Stdout, "a \"b\"\u{2028}\u{1b}[1m\u{fffd}"),
        end(0, StepStatus::Passed, 0, 7),
        over(BuildStatus::Passed, 0, 8),
    ]);
    let drawn = draw(&mut JsonRenderer::new(), events.clone());
    assert!(drawn.ends_with('\n'));
    let read: Vec<Sequenced> = drawn.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<Sequenced> = (0..).zip(events).map(|(seq, event)| Sequenced { seq, event }).collect();
    assert_eq!(read, expected);
}

/// Counts what it is given.
#[derive(Default)]
struct Counting {
    writes: u64,
    bytes: u64,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_is_one_write() {
    let (mut renderer, mut out) = (JsonRenderer::new(), Counting::default());
    for seq in 0..10 {
        let event = Sequenced {
            seq,
            event: log(0, Stream::Stdout, &"x".repeat(1 << 20)),
        };
        renderer.render(&event, &mut out).unwrap();
    }
    assert_eq!(out.writes, 10);
    assert!(out.bytes > 10 << 20);
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_errors_of_the_writer_come_through() {
    let event = Sequenced {
        seq: 0,
        event: over(BuildStatus::Passed, 0, 1),
    };
    let error = JsonRenderer::new().render(&event, &mut Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
