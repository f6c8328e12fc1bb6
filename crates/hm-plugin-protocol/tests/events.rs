//! The exact JSON of every event: what programs read from `hm run --format json`.

use hm_plugin_protocol::{
    BuildEvent, BuildRef, BuildStatus, CancelReason, PlanSummary, PullState, RunId, SCHEMA_VERSION, Sequenced,
    SkipReason, SnapshotRef, StepId, StepStatus, Stream,
};
use uuid::Uuid;

const RUN: RunId = RunId(Uuid::from_u128(1));
const STEP: StepId = StepId(Uuid::from_u128(2));
const TS: &str = "2025-01-02T03:04:05.678Z";

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn exact(event: BuildEvent, json: &str) {
    let event = Sequenced { seq: 7, event };
    assert_eq!(serde_json::to_string(&event).unwrap(), json);
    assert_eq!(serde_json::from_str::<Sequenced>(json).unwrap(), event);
}

#[test]
fn build_start() {
    let plan = PlanSummary {
        step_count: 3,
        chain_count: 2,
        default_runner: "vm".to_owned(),
    };
    exact(
        BuildEvent::BuildStart {
            schema_version: SCHEMA_VERSION.to_owned(),
            run_id: RUN,
            plan,
            started_at: TS.to_owned(),
        },
        r#"{"seq":7,"kind":"build_start","schema_version":"1","run_id":"00000000-0000-0000-0000-000000000001","plan":{"step_count":3,"chain_count":2,"default_runner":"vm"},"started_at":"2025-01-02T03:04:05.678Z"}"#,
    );
}

#[test]
fn build_accepted() {
    let build = BuildRef {
        run_id: RUN,
        number: 12,
        org: None,
        pipeline: Some("ci".to_owned()),
    };
    exact(
        BuildEvent::BuildAccepted {
            build: build.clone(),
            watch_url: String::new(),
        },
        r#"{"seq":7,"kind":"build_accepted","build":{"run_id":"00000000-0000-0000-0000-000000000001","number":12,"pipeline":"ci"},"watch_url":""}"#,
    );
    exact(
        BuildEvent::BuildAccepted {
            build: BuildRef {
                org: Some("o".to_owned()),
                ..build
            },
            watch_url: "https://example.org/b/12".to_owned(),
        },
        r#"{"seq":7,"kind":"build_accepted","build":{"run_id":"00000000-0000-0000-0000-000000000001","number":12,"org":"o","pipeline":"ci"},"watch_url":"https://example.org/b/12"}"#,
    );
}

#[test]
fn step_queued() {
    exact(
        BuildEvent::StepQueued {
            step_id: STEP,
            key: "k".to_owned(),
            chain_idx: 0,
            parent_key: None,
            display_name: "make \"all\"".to_owned(),
        },
        r#"{"seq":7,"kind":"step_queued","step_id":"00000000-0000-0000-0000-000000000002","key":"k","chain_idx":0,"parent_key":null,"display_name":"make \"all\""}"#,
    );
}

#[test]
fn step_start() {
    exact(
        BuildEvent::StepStart {
            step_id: STEP,
            runner: "vm".to_owned(),
            image: Some("host".to_owned()),
        },
        r#"{"seq":7,"kind":"step_start","step_id":"00000000-0000-0000-0000-000000000002","runner":"vm","image":"host"}"#,
    );
}

#[test]
fn step_log() {
    for (stream, word) in [
        (Stream::Stdout, "stdout"),
        (Stream::Stderr, "stderr"),
        (Stream::Note, "note"),
    ] {
        exact(
            BuildEvent::StepLog {
                step_id: STEP,
                stream,
                line: "a\tb\u{1b}[0m\u{fffd}".to_owned(),
                ts: TS.to_owned(),
            },
            &format!(
                r#"{{"seq":7,"kind":"step_log","step_id":"00000000-0000-0000-0000-000000000002","stream":"{word}","line":"a\tb\u001b[0m{}","ts":"2025-01-02T03:04:05.678Z"}}"#,
                '\u{fffd}'
            ),
        );
    }
}

#[test]
fn step_cache_hit() {
    exact(
        BuildEvent::StepCacheHit {
            step_id: STEP,
            key: "k".to_owned(),
            tag: "ab12".to_owned(),
        },
        r#"{"seq":7,"kind":"step_cache_hit","step_id":"00000000-0000-0000-0000-000000000002","key":"k","tag":"ab12"}"#,
    );
}

#[test]
fn step_skipped() {
    let reason = SkipReason::Prerequisite {
        step_id: StepId(Uuid::from_u128(3)),
        key: "p".to_owned(),
        status: StepStatus::Failed,
    };
    exact(
        BuildEvent::StepSkipped {
            step_id: STEP,
            key: "k".to_owned(),
            reason,
        },
        r#"{"seq":7,"kind":"step_skipped","step_id":"00000000-0000-0000-0000-000000000002","key":"k","reason":{"kind":"prerequisite","step_id":"00000000-0000-0000-0000-000000000003","key":"p","status":"failed"}}"#,
    );
    for (reason, word) in [
        (CancelReason::StepFailed, "step_failed"),
        (CancelReason::BuildTimeout, "build_timeout"),
        (CancelReason::Terminate, "terminate"),
        (CancelReason::Interrupt, "interrupt"),
    ] {
        exact(
            BuildEvent::StepSkipped {
                step_id: STEP,
                key: "k".to_owned(),
                reason: SkipReason::Stopped { reason },
            },
            &format!(
                r#"{{"seq":7,"kind":"step_skipped","step_id":"00000000-0000-0000-0000-000000000002","key":"k","reason":{{"kind":"stopped","reason":"{word}"}}}}"#
            ),
        );
    }
}

#[test]
fn image_pull() {
    for (state, word) in [
        (PullState::Pulling, "pulling"),
        (PullState::Unpacking, "unpacking"),
        (PullState::Ready, "ready"),
        (PullState::Failed, "failed"),
        (PullState::Canceled, "canceled"),
    ] {
        exact(
            BuildEvent::ImagePull {
                image: "docker.io/library/ubuntu:24.04".to_owned(),
                state,
                layers: 2,
                layers_ready: 1,
                bytes: 30,
                bytes_done: 20,
            },
            &format!(
                r#"{{"seq":7,"kind":"image_pull","image":"docker.io/library/ubuntu:24.04","state":"{word}","layers":2,"layers_ready":1,"bytes":30,"bytes_done":20}}"#
            ),
        );
    }
}

#[test]
fn step_usage() {
    exact(
        BuildEvent::StepUsage {
            step_id: STEP,
            cpu_ms: 1,
            max_rss_bytes: 2,
            read_bytes: 3,
            write_bytes: u64::MAX,
        },
        r#"{"seq":7,"kind":"step_usage","step_id":"00000000-0000-0000-0000-000000000002","cpu_ms":1,"max_rss_bytes":2,"read_bytes":3,"write_bytes":18446744073709551615}"#,
    );
}

#[test]
fn step_end() {
    for (status, word) in [
        (StepStatus::Passed, "passed"),
        (StepStatus::Cached, "cached"),
        (StepStatus::Failed, "failed"),
        (StepStatus::TimedOut, "timed_out"),
        (StepStatus::Canceled, "canceled"),
        (StepStatus::Errored, "errored"),
        (StepStatus::Flaky, "flaky"),
    ] {
        exact(
            BuildEvent::StepEnd {
                step_id: STEP,
                exit_code: 3,
                duration_ms: 40,
                snapshot: Some(SnapshotRef("s".to_owned())),
                status,
                causes: Vec::new(),
                fixes: Vec::new(),
            },
            &format!(
                r#"{{"seq":7,"kind":"step_end","step_id":"00000000-0000-0000-0000-000000000002","exit_code":3,"duration_ms":40,"snapshot":"s","status":"{word}"}}"#
            ),
        );
    }
    exact(
        BuildEvent::StepEnd {
            step_id: STEP,
            exit_code: 125,
            duration_ms: 0,
            snapshot: None,
            status: StepStatus::Errored,
            causes: vec!["can't start".to_owned(), "no space".to_owned()],
            fixes: vec!["df -h".to_owned()],
        },
        r#"{"seq":7,"kind":"step_end","step_id":"00000000-0000-0000-0000-000000000002","exit_code":125,"duration_ms":0,"snapshot":null,"status":"errored","causes":["can't start","no space"],"fixes":["df -h"]}"#,
    );
}

#[test]
fn chain_failed() {
    exact(
        BuildEvent::ChainFailed {
            chain_idx: 4,
            failed_step_id: STEP,
            failed_step_key: "k".to_owned(),
            exit_code: 1,
            message: "m".to_owned(),
            ts: TS.to_owned(),
        },
        r#"{"seq":7,"kind":"chain_failed","chain_idx":4,"failed_step_id":"00000000-0000-0000-0000-000000000002","failed_step_key":"k","exit_code":1,"message":"m","ts":"2025-01-02T03:04:05.678Z"}"#,
    );
}

#[test]
fn build_end() {
    for (status, word) in [
        (BuildStatus::Passed, "passed"),
        (BuildStatus::Failed, "failed"),
        (BuildStatus::Canceled, "canceled"),
        (BuildStatus::TimedOut, "timed_out"),
    ] {
        exact(
            BuildEvent::BuildEnd {
                exit_code: 0,
                duration_ms: 9,
                status,
            },
            &format!(r#"{{"seq":7,"kind":"build_end","exit_code":0,"duration_ms":9,"status":"{word}"}}"#),
        );
    }
}

#[test]
fn members_that_a_later_version_adds_are_ignored() {
    let json = r#"{"seq":7,"kind":"build_end","exit_code":0,"duration_ms":9,"status":"passed","extra":[1]}"#;
    let event = BuildEvent::BuildEnd {
        exit_code: 0,
        duration_ms: 9,
        status: BuildStatus::Passed,
    };
    assert_eq!(
        serde_json::from_str::<Sequenced>(json).unwrap(),
        Sequenced { seq: 7, event }
    );
}
