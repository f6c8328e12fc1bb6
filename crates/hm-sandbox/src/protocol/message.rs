//! The messages themselves.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::wire::{Malformed, Reader, Writer};
use crate::error::{SetupError, Stage};
use crate::request::{
    ApplyOp, ApplyRequest, Bind, Confinement, Expected, HostView, IdMap, LauncherSettings, LimitMeans, LimitedBy,
    Limits, Network, Overlays, Owner, RootFs, Roots, SingleId, SpawnRequest, Usage,
};

const START: u8 = 1;
const SPAWN: u8 = 2;
const APPLY: u8 = 3;
const TERMINATE: u8 = 4;
const KILL: u8 = 5;
const MAPPED: u8 = 6;
const NETWORK: u8 = 7;

const READY: u8 = 1;
const ENDED: u8 = 2;

const OUTCOME_CODE: u8 = 1;
const OUTCOME_SIGNAL: u8 = 2;
const OUTCOME_ERROR: u8 = 3;
const OUTCOME_APPLIED: u8 = 4;
const OUTCOME_READY: u8 = 5;
const OUTCOME_UNMAPPED: u8 = 6;

const IDS_HOST: u8 = 0;
const IDS_SUBORDINATE: u8 = 1;
const IDS_SINGLE: [(u8, SingleId); 4] = [
    (2, SingleId::Chosen),
    (3, SingleId::NoRange),
    (4, SingleId::NoTool),
    (5, SingleId::Refused),
];

/// A request as the launcher needs to see it. Bodies are decoded by the process that acts on them.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Start(&'a [u8]),
    /// The launcher's ids are mapped.
    Mapped,
    Spawn {
        id: u64,
        network: Network,
        limits: Limits,
        body: &'a [u8],
    },
    Apply {
        id: u64,
        body: &'a [u8],
    },
    Terminate {
        id: u64,
    },
    Kill {
        id: u64,
    },
    /// Whether [`Network::Isolated`] works.
    Network {
        id: u64,
    },
}

impl<'a> Request<'a> {
    pub(crate) fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(message);
        Ok(match r.u8()? {
            START => Self::Start(r.rest()),
            SPAWN => Self::Spawn {
                id: r.u64()?,
                network: read_network(&mut r)?,
                limits: read_limits(&mut r)?,
                body: r.rest(),
            },
            APPLY => Self::Apply {
                id: r.u64()?,
                body: r.rest(),
            },
            MAPPED => Self::Mapped,
            TERMINATE => Self::Terminate { id: r.u64()? },
            KILL => Self::Kill { id: r.u64()? },
            NETWORK => Self::Network { id: r.u64()? },
            _ => return Err(Malformed),
        })
    }
}

/// How the launcher is to set itself up.
#[derive(Debug)]
pub(crate) struct StartPlan {
    pub(crate) classic_mount: bool,
    pub(crate) overlays: Overlays,
    pub(crate) ids: IdMap,
    pub(crate) slirp4netns: Option<PathBuf>,
    pub(crate) open_files: Option<u64>,
    pub(crate) host_view: Option<HostView>,
}

impl StartPlan {
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        Ok(Self {
            classic_mount: r.bool()?,
            overlays: read_overlays(&mut r)?,
            ids: read_ids(&mut r)?,
            slirp4netns: r.option(Reader::path)?,
            open_files: r.option(Reader::u64)?,
            host_view: r.option(|r| {
                Ok(HostView {
                    dir: r.path()?,
                    hidden: r.list(Reader::path)?,
                    home: r.option(Reader::path)?,
                    expose: r.list(Reader::path)?,
                })
            })?,
        })
    }
}

pub(crate) fn encode_start(settings: &LauncherSettings, ids: IdMap) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(START);
    w.bool(settings.classic_mount);
    write_overlays(&mut w, &settings.overlays);
    write_ids(&mut w, ids);
    w.option(settings.slirp4netns.as_ref(), |w, slirp4netns| w.path(slirp4netns));
    w.option(settings.open_files.as_ref(), |w, count| w.u64(*count));
    w.option(settings.host_view.as_ref(), |w, view| {
        w.path(&view.dir);
        w.list(&view.hidden, |w, path| w.path(path));
        w.option(view.home.as_ref(), |w, home| w.path(home));
        w.list(&view.expose, |w, path| w.path(path));
    });
    w.finish()
}

fn write_overlays(w: &mut Writer, overlays: &Overlays) {
    let trial = match overlays {
        Overlays::Always | Overlays::Never => None,
        Overlays::WherePossible { trial } => Some(trial),
    };
    w.option(trial, |w, trial| w.path(trial));
    w.bool(*overlays == Overlays::Never);
}

fn read_overlays(r: &mut Reader<'_>) -> Result<Overlays, Malformed> {
    Ok(match (r.option(Reader::path)?, r.bool()?) {
        (Some(trial), _) => Overlays::WherePossible { trial },
        (None, false) => Overlays::Always,
        (None, true) => Overlays::Never,
    })
}

/// A [`SpawnRequest`] as PID 1 reads it.
#[derive(Debug)]
pub(crate) struct StepPlan {
    pub(crate) rootfs: RootFs,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: PathBuf,
    pub(crate) owner: Owner,
    pub(crate) groups: Vec<u32>,
    pub(crate) hostname: Vec<u8>,
    pub(crate) network: Network,
    pub(crate) binds: Vec<Bind>,
    pub(crate) has_stdin: bool,
}

impl StepPlan {
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        Ok(Self {
            rootfs: read_rootfs(&mut r)?,
            argv: r.list(Reader::c_string)?,
            env: r.list(Reader::c_string)?,
            cwd: r.path()?,
            owner: Owner {
                uid: r.u32()?,
                gid: r.u32()?,
            },
            groups: r.list(Reader::u32)?,
            hostname: r.bytes()?.to_vec(),
            network: read_network(&mut r)?,
            binds: r.list(|r| {
                Ok(Bind {
                    source: r.path()?,
                    target: r.path()?,
                    read_only: r.bool()?,
                })
            })?,
            has_stdin: r.bool()?,
        })
    }
}

pub(crate) fn encode_spawn(id: u64, request: &SpawnRequest) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(SPAWN);
    w.u64(id);
    write_network(&mut w, request.network);
    write_limits(&mut w, &request.limits);
    write_rootfs(&mut w, &request.rootfs);
    w.list(&request.argv, |w, arg| w.bytes(arg.as_bytes()));
    w.list(&request.env, |w, (key, value)| w.bytes(&env_entry(key, value)));
    w.path(&request.cwd);
    w.u32(request.uid);
    w.u32(request.gid);
    w.list(&request.groups, |w, group| w.u32(*group));
    w.bytes(request.hostname.as_bytes());
    write_network(&mut w, request.network);
    w.list(&request.binds, |w, bind| {
        w.path(&bind.source);
        w.path(&bind.target);
        w.bool(bind.read_only);
    });
    w.bool(request.stdin.is_some());
    w.finish()
}

const NETWORKS: [Network; 3] = [Network::Host, Network::Isolated, Network::None];

fn write_network(w: &mut Writer, network: Network) {
    let tag = NETWORKS.iter().position(|known| *known == network);
    w.u8(tag.and_then(|tag| u8::try_from(tag).ok()).unwrap_or(u8::MAX));
}

fn read_network(r: &mut Reader<'_>) -> Result<Network, Malformed> {
    NETWORKS.get(usize::from(r.u8()?)).copied().ok_or(Malformed)
}

fn write_limits(w: &mut Writer, limits: &Limits) {
    let Limits {
        cpus,
        memory_bytes,
        pids,
    } = limits;
    let cpus = cpus.map(f64::to_bits);
    for limit in [&cpus, memory_bytes, pids] {
        w.option(limit.as_ref(), |w, limit| w.u64(*limit));
    }
}

fn read_limits(r: &mut Reader<'_>) -> Result<Limits, Malformed> {
    Ok(Limits {
        cpus: r.option(Reader::u64)?.map(f64::from_bits),
        memory_bytes: r.option(Reader::u64)?,
        pids: r.option(Reader::u64)?,
    })
}

const MEANS: [LimitedBy; 4] = [
    LimitedBy::ControlGroup2,
    LimitedBy::ControlGroup1,
    LimitedBy::Process,
    LimitedBy::Nothing,
];

fn read_means(r: &mut Reader<'_>) -> Result<LimitedBy, Malformed> {
    MEANS.get(usize::from(r.u8()?)).copied().ok_or(Malformed)
}

fn env_entry(key: &OsStr, value: &OsStr) -> Vec<u8> {
    [key.as_bytes(), b"=", value.as_bytes()].concat()
}

fn write_rootfs(w: &mut Writer, rootfs: &RootFs) {
    w.list(&rootfs.lower, |w, layer| w.path(layer));
    w.path(&rootfs.lower_base);
    w.bool(rootfs.host_root);
    w.path(&rootfs.upper);
    w.path(&rootfs.work);
    w.path(&rootfs.merged);
}

fn read_rootfs(r: &mut Reader<'_>) -> Result<RootFs, Malformed> {
    Ok(RootFs {
        lower: r.list(Reader::path)?,
        lower_base: r.path()?,
        host_root: r.bool()?,
        upper: r.path()?,
        work: r.path()?,
        merged: r.path()?,
    })
}

/// The root file system of a [`StepPlan`] or an [`ApplyPlan`]: both begin with it.
pub(crate) fn decode_rootfs(body: &[u8]) -> Result<RootFs, Malformed> {
    read_rootfs(&mut Reader::new(body))
}

/// An [`ApplyRequest`] as its process reads it.
#[derive(Debug)]
pub(crate) struct ApplyPlan {
    pub(crate) rootfs: RootFs,
    pub(crate) target: PathBuf,
    pub(crate) source: PathBuf,
    pub(crate) owner: Owner,
    pub(crate) ops: Vec<ApplyOp>,
}

impl ApplyPlan {
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        Ok(Self {
            rootfs: read_rootfs(&mut r)?,
            target: r.path()?,
            source: r.path()?,
            owner: Owner {
                uid: r.u32()?,
                gid: r.u32()?,
            },
            ops: r.list(read_op)?,
        })
    }
}

fn read_op(r: &mut Reader<'_>) -> Result<ApplyOp, Malformed> {
    let remove = r.bool()?;
    let path = r.path()?;
    let flag = r.bool()?;
    let expected = r.option(|r| {
        Ok(Expected {
            size: r.u64()?,
            mode: r.u32()?,
            mtime_ns: r.i64()?,
        })
    })?;
    Ok(if remove {
        ApplyOp::Remove {
            path,
            dir: flag,
            expected,
        }
    } else {
        ApplyOp::Put {
            path,
            replaces: flag,
            expected,
        }
    })
}

pub(crate) fn encode_apply(id: u64, request: &ApplyRequest) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(APPLY);
    w.u64(id);
    write_rootfs(&mut w, &request.rootfs);
    w.path(&request.target);
    w.path(&request.source);
    w.u32(request.owner.uid);
    w.u32(request.owner.gid);
    w.list(&request.ops, |w, op| {
        let (remove, path, flag, expected) = match op {
            ApplyOp::Remove { path, dir, expected } => (true, path, *dir, expected),
            ApplyOp::Put {
                path,
                replaces,
                expected,
            } => (false, path, *replaces, expected),
        };
        w.bool(remove);
        w.path(path);
        w.bool(flag);
        w.option(expected.as_ref(), |w, expected| {
            w.u64(expected.size);
            w.u32(expected.mode);
            w.i64(expected.mtime_ns);
        });
    });
    w.finish()
}

pub(crate) fn encode_mapped() -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(MAPPED);
    w.finish()
}

pub(crate) fn encode_network(id: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(NETWORK);
    w.u64(id);
    w.finish()
}

pub(crate) fn encode_control(id: u64, kill: bool) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(if kill { KILL } else { TERMINATE });
    w.u64(id);
    w.finish()
}

/// What the process of a request reports of itself.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The launcher is set up.
    Ready(Confinement),
    /// The launcher waits for its ids to be mapped.
    Unmapped,
    Code(i32),
    Signal(i32),
    Failed(SetupError),
    Applied {
        conflicts: Vec<PathBuf>,
    },
    /// It ended before it could report.
    Silent,
}

pub(crate) fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    let mut w = Writer::default();
    match outcome {
        Outcome::Ready(confinement) => {
            w.u8(OUTCOME_READY);
            write_confinement(&mut w, confinement);
        }
        Outcome::Unmapped => w.u8(OUTCOME_UNMAPPED),
        Outcome::Code(code) => {
            w.u8(OUTCOME_CODE);
            w.i32(*code);
        }
        Outcome::Signal(signal) => {
            w.u8(OUTCOME_SIGNAL);
            w.i32(*signal);
        }
        Outcome::Failed(error) => {
            w.u8(OUTCOME_ERROR);
            w.u8(error.stage as u8);
            w.i32(error.errno.raw_os_error());
            w.path(&error.path);
        }
        Outcome::Applied { conflicts } => {
            w.u8(OUTCOME_APPLIED);
            w.list(conflicts, |w, path| w.path(path));
        }
        Outcome::Silent => {}
    }
    w.finish()
}

fn write_ids(w: &mut Writer, ids: IdMap) {
    match ids {
        IdMap::Host => w.u8(IDS_HOST),
        IdMap::Subordinate { count } => {
            w.u8(IDS_SUBORDINATE);
            w.u32(count);
        }
        IdMap::Single(reason) => {
            let tag = IDS_SINGLE.iter().find(|(_, known)| *known == reason);
            w.u8(tag.map_or(IDS_HOST, |(tag, _)| *tag));
        }
    }
}

fn read_ids(r: &mut Reader<'_>) -> Result<IdMap, Malformed> {
    Ok(match r.u8()? {
        IDS_HOST => IdMap::Host,
        IDS_SUBORDINATE => IdMap::Subordinate { count: r.u32()? },
        tag => {
            let reason = IDS_SINGLE.iter().find(|(known, _)| *known == tag);
            IdMap::Single(reason.ok_or(Malformed)?.1)
        }
    })
}

fn write_roots(w: &mut Writer, roots: Roots) {
    let (copies, refused) = match roots {
        Roots::Overlays => (false, None),
        Roots::Copies { refused } => (true, refused),
    };
    w.bool(copies);
    w.option(refused.as_ref(), |w, errno| w.i32(*errno));
}

fn read_roots(r: &mut Reader<'_>) -> Result<Roots, Malformed> {
    let (copies, refused) = (r.bool()?, r.option(Reader::i32)?);
    Ok(if copies {
        Roots::Copies { refused }
    } else {
        Roots::Overlays
    })
}

fn write_confinement(w: &mut Writer, confinement: &Confinement) {
    write_ids(w, confinement.ids);
    w.bool(confinement.scopes_abstract_sockets);
    w.bool(confinement.own_keyring);
    w.bool(confinement.host_view);
    write_roots(w, confinement.roots);
    w.bool(confinement.many_layers);
    let LimitMeans { cpus, memory, pids } = confinement.limits;
    for means in [cpus, memory, pids] {
        w.u8(means as u8);
    }
}

fn read_confinement(r: &mut Reader<'_>) -> Result<Confinement, Malformed> {
    Ok(Confinement {
        ids: read_ids(r)?,
        scopes_abstract_sockets: r.bool()?,
        own_keyring: r.bool()?,
        host_view: r.bool()?,
        roots: read_roots(r)?,
        many_layers: r.bool()?,
        limits: LimitMeans {
            cpus: read_means(r)?,
            memory: read_means(r)?,
            pids: read_means(r)?,
        },
    })
}

pub(crate) fn decode_outcome(bytes: &[u8]) -> Result<Outcome, Malformed> {
    if bytes.is_empty() {
        return Ok(Outcome::Silent);
    }
    let mut r = Reader::new(bytes);
    Ok(match r.u8()? {
        OUTCOME_READY => Outcome::Ready(read_confinement(&mut r)?),
        OUTCOME_UNMAPPED => Outcome::Unmapped,
        OUTCOME_CODE => Outcome::Code(r.i32()?),
        OUTCOME_SIGNAL => Outcome::Signal(r.i32()?),
        OUTCOME_ERROR => Outcome::Failed(SetupError {
            stage: Stage::from_byte(r.u8()?).ok_or(Malformed)?,
            errno: Errno::from_raw_os_error(r.i32()?),
            path: r.path()?,
        }),
        OUTCOME_APPLIED => Outcome::Applied {
            conflicts: r.list(Reader::path)?,
        },
        _ => return Err(Malformed),
    })
}

/// What the launcher says.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It is set up, or why not.
    Ready(Outcome),
    /// The process of a request is gone, and everything in its namespaces.
    Ended {
        id: u64,
        usage: Usage,
        out_of_memory: bool,
        out_of_pids: bool,
        outcome: Outcome,
    },
}

impl Reply {
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(message);
        Ok(match r.u8()? {
            READY => Self::Ready(decode_outcome(r.rest())?),
            ENDED => Self::Ended {
                id: r.u64()?,
                usage: Usage {
                    cpu: Duration::from_micros(r.u64()?),
                    max_rss_bytes: r.u64()?,
                    read_bytes: r.u64()?,
                    write_bytes: r.u64()?,
                },
                out_of_memory: r.bool()?,
                out_of_pids: r.bool()?,
                outcome: decode_outcome(r.rest())?,
            },
            _ => return Err(Malformed),
        })
    }
}

/// What the launcher itself knows of a process that is gone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) usage: Usage,
    /// The kernel killed for lack of memory.
    pub(crate) out_of_memory: bool,
    /// The kernel refused a process for their number.
    pub(crate) out_of_pids: bool,
}

/// `outcome` is as [`encode_outcome`] made it. Without a value it is the answer to the start.
pub(crate) fn encode_reply(ended: Option<Told>, outcome: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    match ended {
        None => w.u8(READY),
        Some(Told {
            id,
            usage,
            out_of_memory,
            out_of_pids,
        }) => {
            w.u8(ENDED);
            w.u64(id);
            w.u64(u64::try_from(usage.cpu.as_micros()).unwrap_or(u64::MAX));
            w.u64(usage.max_rss_bytes);
            w.u64(usage.read_bytes);
            w.u64(usage.write_bytes);
            w.bool(out_of_memory);
            w.bool(out_of_pids);
        }
    }
    let mut message = w.finish();
    message.extend_from_slice(outcome);
    message
}
