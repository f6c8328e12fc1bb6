//! The wire between the engine and a step runner.

use std::collections::BTreeMap;

use hm_pipeline_ir::{Cache, CachePolicy, Step, StepKey};
use hm_plugin_protocol::{
    ArchiveId, ArtifactRef, CacheDecision, CancelReason, ExecutorInput, RunId, SnapshotRef, StepId, StepResult,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

fn input() -> ExecutorInput {
    let mut step = Step::new(StepKey::new("k"), "make");
    step.cache = Some(Cache {
        policy: CachePolicy::Opaque {
            name: "moon".to_owned(),
        },
        key: Some("full".to_owned()),
    });
    ExecutorInput {
        step,
        workspace_archive_id: ArchiveId(Uuid::from_u128(1)),
        env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        workdir: "/workspace".to_owned(),
        run_id: RunId(Uuid::from_u128(2)),
        step_id: StepId(Uuid::from_u128(3)),
        cache_lookup: CacheDecision::MissBuildAs { tag: "t".to_owned() },
        parent_snapshot: Some(SnapshotRef("s".to_owned())),
    }
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn exact<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, expected: &Value) {
    assert_eq!(&serde_json::to_value(value).unwrap(), expected);
    assert_eq!(&serde_json::from_value::<T>(expected.clone()).unwrap(), value);
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn refuses_unknown<T: Serialize + DeserializeOwned + std::fmt::Debug>(value: &T) {
    let mut json = serde_json::to_value(value).unwrap();
    json["unheard_of"] = json!(1);
    let error = serde_json::from_value::<T>(json).unwrap_err().to_string();
    assert!(error.contains("unheard_of"), "{error}");
}

#[test]
fn executor_input() {
    let expected = json!({
        "step": {
            "key": "k", "label": null, "cmd": "make", "image": null, "env": null, "timeout_seconds": null,
            "cache": {"policy": "moon", "key": "full"},
        },
        "workspace_archive_id": "00000000-0000-0000-0000-000000000001",
        "env": {"A": "1"},
        "workdir": "/workspace",
        "run_id": "00000000-0000-0000-0000-000000000002",
        "step_id": "00000000-0000-0000-0000-000000000003",
        "cache_lookup": {"kind": "miss_build_as", "tag": "t"},
        "parent_snapshot": "s",
    });
    exact(&input(), &expected);
    refuses_unknown(&input());
}

#[test]
fn a_missing_parent_is_left_out() {
    let input = ExecutorInput {
        parent_snapshot: None,
        ..input()
    };
    let json = serde_json::to_value(&input).unwrap();
    assert!(json.get("parent_snapshot").is_none());
    assert_eq!(serde_json::from_value::<ExecutorInput>(json).unwrap(), input);
}

#[test]
fn cache_decisions() {
    exact(
        &CacheDecision::Hit { tag: "t".to_owned() },
        &json!({"kind": "hit", "tag": "t"}),
    );
    exact(
        &CacheDecision::MissBuildAs { tag: "t".to_owned() },
        &json!({"kind": "miss_build_as", "tag": "t"}),
    );
    exact(&CacheDecision::MissNoCommit, &json!({"kind": "miss_no_commit"}));
    refuses_unknown(&CacheDecision::Hit { tag: "t".to_owned() });
    refuses_unknown(&CacheDecision::MissNoCommit);
}

#[test]
fn step_results() {
    let artifact = ArtifactRef {
        key: "a".to_owned(),
        mime: "text/plain".to_owned(),
        size_bytes: 5,
    };
    refuses_unknown(&artifact);
    let full = StepResult {
        exit_code: 137,
        cause: Some("out of memory".to_owned()),
        committed_snapshot: Some(SnapshotRef("s".to_owned())),
        artifacts: vec![artifact],
    };
    exact(
        &full,
        &json!({
            "exit_code": 137, "cause": "out of memory", "committed_snapshot": "s",
            "artifacts": [{"key": "a", "mime": "text/plain", "size_bytes": 5}],
        }),
    );
    refuses_unknown(&full);
    let bare: StepResult = serde_json::from_value(json!({"exit_code": 0})).unwrap();
    assert_eq!(
        bare,
        StepResult {
            exit_code: 0,
            cause: None,
            committed_snapshot: None,
            artifacts: Vec::new()
        }
    );
}

#[test]
fn reasons_to_stop_are_ordered() {
    let reasons = [
        CancelReason::StepFailed,
        CancelReason::BuildTimeout,
        CancelReason::Terminate,
        CancelReason::Interrupt,
    ];
    assert!(reasons.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_step_id_can_be_worked_out_again() {
    let run = RunId(Uuid::from_u128(9));
    assert_eq!(
        StepId::derive(run, "k").to_string(),
        StepId(Uuid::new_v5(&run.0, b"k")).to_string()
    );
    assert_ne!(StepId::derive(run, "k"), StepId::derive(run, "l"));
}
