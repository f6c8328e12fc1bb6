//! The format of the event file: one JSON object a line.
//!
//! A line is an event with `seq` as its first member, or, with the kind `output`, a reference to lines of a step's log:
//! `{"seq":FIRST,"kind":"output","step":I,"step_id":ID,"lines":N,"part":P,"at":OFFSET,"len":BYTES}`. It stands for `N`
//! events `step_log` with the numbers `FIRST` to `FIRST + N - 1`, in whole frames at `OFFSET`.

use std::io::Write;

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, StepId};
use serde::Deserialize;

/// Lines of a step's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OutputRecord {
    pub(super) step: StepIndex,
    pub(super) step_id: StepId,
    /// Number of lines; each is an event.
    pub(super) lines: u64,
    /// Which of the step's log files.
    pub(super) part: u32,
    /// Where the first frame's header is.
    pub(super) at: u64,
    /// Length of all its frames, headers included.
    pub(super) length: u64,
}

/// What a line of the event file says.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Record {
    Event(BuildEvent),
    Output(OutputRecord),
}

const SEQ: &[u8] = b"{\"seq\":";
const OUTPUT: &[u8] = b"\"kind\":\"output\",";

/// Puts an event, encoded as `json` alone, into the buffer.
pub(super) fn put_event(buffer: &mut Vec<u8>, seq: u64, json: &[u8]) {
    put_seq(buffer, seq);
    buffer.extend_from_slice(json.strip_prefix(b"{").unwrap_or(json));
    buffer.push(b'\n');
}

/// Puts a reference to a step's log into the buffer.
pub(super) fn put_output(buffer: &mut Vec<u8>, seq: u64, record: &OutputRecord) {
    put_seq(buffer, seq);
    let OutputRecord {
        step,
        step_id,
        lines,
        part,
        at,
        length,
    } = record;
    let step = step.as_u32();
    let line = format_args!(
        "\"kind\":\"output\",\"step\":{step},\"step_id\":\"{step_id}\",\"lines\":{lines},\"part\":{part},\
         \"at\":{at},\"len\":{length}}}\n"
    );
    buffer.write_fmt(line).expect("writing to memory can't fail");
}

fn put_seq(buffer: &mut Vec<u8>, seq: u64) {
    buffer.extend_from_slice(SEQ);
    buffer
        .write_fmt(format_args!("{seq},"))
        .expect("writing to memory can't fail");
}

#[derive(Deserialize)]
struct WireOutput {
    step: u32,
    step_id: StepId,
    lines: u64,
    part: u32,
    at: u64,
    len: u64,
}

/// What a line without its end says; nothing where it is no record. The line is used as working space.
pub(super) fn parse(line: &mut [u8]) -> Option<(u64, Record)> {
    let digits = line
        .strip_prefix(SEQ)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let comma = SEQ.len() + digits;
    let seq = std::str::from_utf8(&line[SEQ.len()..comma]).ok()?.parse().ok()?;
    if line.get(comma) != Some(&b',') {
        return None;
    }
    // The comma becomes the brace of an object without `seq`, which is then read as it stands.
    line[comma] = b'{';
    let object = &line[comma..];
    if !object[1..].starts_with(OUTPUT) {
        return Some((seq, Record::Event(serde_json::from_slice(object).ok()?)));
    }
    let WireOutput {
        step,
        step_id,
        lines,
        part,
        at,
        len,
    } = serde_json::from_slice(object).ok()?;
    let output = OutputRecord {
        step: StepIndex::new(step),
        step_id,
        lines,
        part,
        at,
        length: len,
    };
    Some((seq, Record::Output(output)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn records_round_trip() {
        let event = BuildEvent::BuildEnd {
            exit_code: 1,
            duration_ms: 2,
            status: hm_plugin_protocol::BuildStatus::Failed,
        };
        let mut buffer = Vec::new();
        put_event(&mut buffer, 41, &serde_json::to_vec(&event).unwrap());
        assert!(buffer.starts_with(b"{\"seq\":41,\"kind\":\"build_end\","));
        let plain: hm_plugin_protocol::Sequenced = serde_json::from_slice(&buffer).unwrap();
        assert_eq!((plain.seq, &plain.event), (41, &event));
        buffer.pop();
        assert_eq!(parse(&mut buffer), Some((41, Record::Event(event))));

        let output = OutputRecord {
            step: StepIndex::new(3),
            step_id: StepId(Uuid::from_u128(7)),
            lines: 5,
            part: 1,
            at: 8,
            length: 99,
        };
        let mut buffer = Vec::new();
        put_output(&mut buffer, 9, &output);
        assert_eq!(buffer.pop(), Some(b'\n'));
        assert_eq!(parse(&mut buffer), Some((9, Record::Output(output))));
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "{}",
            "{\"seq\":}",
            "{\"seq\":1",
            "{\"seq\":1,\"kind\":\"output\",\"step\":1}",
            "\0\0\0\0",
        ] {
            assert_eq!(parse(&mut line.as_bytes().to_vec()), None, "{line}");
        }
    }
}
