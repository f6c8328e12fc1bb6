//! The launcher's loop: requests in, ends of processes out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, pidfd_send_signal};

use super::process::Context;
use super::start::start;
use crate::apply;
use crate::copies;
use crate::error::{SetupError, Stage, at};
use crate::limits::{Fallback, Group};
use crate::network::{self, Gateway};
use crate::protocol::{
    ApplyPlan, Channel, Outcome, Received, Request, Told, decode_outcome, decode_rootfs, encode_outcome, encode_reply,
};
use crate::request::{Limits, Network, RootFs, Usage};
use crate::step::{self, Confines};
use crate::sys::{self, CloneFlags, Cloned};

/// A process of a request.
struct Child {
    id: u64,
    pid: Pid,
    pidfd: OwnedFd,
    /// The reading end of its report.
    report: OwnedFd,
    received: Vec<u8>,
    /// The control groups that limit it.
    group: Option<Group>,
    /// It has a way out by the gateway.
    is_connected: bool,
    /// It had, and the gateway has ended.
    is_cut_off: bool,
    /// Its report may be larger than a pipe and has to be read while it runs.
    streams: bool,
    /// Its root, where that is a copy.
    copied: Option<RootFs>,
    /// It records what such a process changed, of which this is to be told then.
    records: Option<Ended>,
}

/// What is told of a process that is gone.
struct Ended {
    told: Told,
    report: Vec<u8>,
}

impl Ended {
    fn fail(&mut self, error: SetupError) {
        self.report = encode_outcome(&Outcome::Failed(error));
    }
}

/// Serves until the other side is gone; then ends every process and waits for it.
pub(super) fn serve(channel: &Channel) -> Result<(), Errno> {
    let Some(context) = serve_start(channel)? else {
        return Ok(());
    };
    let mut children = Vec::new();
    let mut gateway = None;
    let result = serve_requests(channel, &context, &mut gateway, &mut children);
    for child in &children {
        signal(child, Signal::KILL);
    }
    while !children.is_empty() {
        wait_for_any(&children)?;
        children.retain(|child| matches!(sys::reap(child.pid), Ok(None)));
    }
    // Their groups are nobody's now.
    context.places.sweep();
    if let Some(gateway) = gateway {
        gateway.close();
    }
    result
}

fn serve_start(channel: &Channel) -> Result<Option<Context>, Errno> {
    poll(&mut [PollFd::new(channel, PollFlags::IN)], None)?;
    let Some(Received { message, fds: _ }) = channel.receive()? else {
        return Ok(None);
    };
    let Ok(Request::Start(body)) = Request::decode(&message) else {
        return Err(Errno::PROTO);
    };
    match start(body, channel) {
        Ok(context) => {
            channel.send(
                &encode_reply(None, &encode_outcome(&Outcome::Ready(context.confinement()))),
                &[],
                true,
            )?;
            Ok(Some(context))
        }
        Err(error) => {
            channel.send(&encode_reply(None, &encode_outcome(&Outcome::Failed(error))), &[], true)?;
            Ok(None)
        }
    }
}

fn serve_requests(
    channel: &Channel,
    context: &Context,
    gateway: &mut Option<Gateway>,
    children: &mut Vec<Child>,
) -> Result<(), Errno> {
    loop {
        if wait_for_event(channel, gateway.as_ref(), children)? {
            loop {
                let received = channel.receive();
                end_cut_off(gateway, children);
                match received {
                    Ok(Some(received)) => handle(received, channel, context, gateway, children)?,
                    Ok(None) => return Ok(()),
                    Err(Errno::AGAIN) => break,
                    Err(errno) => return Err(errno),
                }
            }
        }
        // A step that saw its gateway go has ended in vain.
        end_cut_off(gateway, children);
        report_ended(channel, context, children)?;
    }
}

/// Forgets a gateway that has ended, and ends the steps that it connected. The next step gets another one.
fn end_cut_off(gateway: &mut Option<Gateway>, children: &mut [Child]) {
    let Some(ended) = gateway.take_if(|gateway| gateway.has_ended()) else {
        return;
    };
    for child in children.iter_mut().filter(|child| child.is_connected) {
        child.is_cut_off = true;
        signal(child, Signal::KILL);
    }
    ended.close();
}

/// Waits, and tells whether the channel has something.
fn wait_for_event(channel: &Channel, gateway: Option<&Gateway>, children: &[Child]) -> Result<bool, Errno> {
    let mut fds = vec![PollFd::new(channel, PollFlags::IN)];
    let end = gateway.and_then(Gateway::end);
    fds.extend(end.map(|end| PollFd::new(end, PollFlags::IN)));
    fds.extend(children.iter().flat_map(poll_fds));
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty()))
}

fn wait_for_any(children: &[Child]) -> Result<(), Errno> {
    let mut fds: Vec<_> = children
        .iter()
        .map(|child| PollFd::new(&child.pidfd, PollFlags::IN))
        .collect();
    rustix::io::retry_on_intr(|| poll(&mut fds, None)).map(|_ready| ())
}

fn poll_fds(child: &Child) -> impl Iterator<Item = PollFd<'_>> {
    let report = child.streams.then(|| PollFd::new(&child.report, PollFlags::IN));
    [PollFd::new(&child.pidfd, PollFlags::IN)].into_iter().chain(report)
}

fn handle(
    received: Received,
    channel: &Channel,
    context: &Context,
    gateway: &mut Option<Gateway>,
    children: &mut Vec<Child>,
) -> Result<(), Errno> {
    let Received { message, fds } = received;
    let started = match Request::decode(&message) {
        Ok(Request::Spawn {
            id,
            network,
            limits,
            body,
        }) => (id, start_step(context, gateway, (id, network, limits), body, &fds)),
        Ok(Request::Apply { id, body }) => (id, start_apply(context, id, body)),
        Ok(Request::Terminate { id }) => {
            signal_by_id(children, id, Signal::TERM);
            return Ok(());
        }
        Ok(Request::Kill { id }) => {
            signal_by_id(children, id, Signal::KILL);
            return Ok(());
        }
        Ok(Request::Network { id }) => {
            let outcome = match connected(context, gateway).and_then(Gateway::wait_until_ready) {
                Ok(has_uplink) => Outcome::Code(i32::from(has_uplink)),
                Err(error) => Outcome::Failed(error),
            };
            return reply(channel, id, &outcome);
        }
        Ok(Request::Start(_) | Request::Mapped) | Err(_) => return Err(Errno::PROTO),
    };
    match started {
        (_, Ok(child)) => {
            children.push(child);
            Ok(())
        }
        (id, Err(error)) => reply(channel, id, &Outcome::Failed(error)),
    }
}

fn start_apply(context: &Context, id: u64, body: &[u8]) -> Result<Child, SetupError> {
    let copied = copied_root(context, body)?;
    let child = start_child(context, id, CloneFlags::MOUNTS, true, |report| {
        step::report_and_exit(report, || {
            step::tie_to_launcher(context, [report].into_iter())?;
            let plan = ApplyPlan::decode(body).map_err(|_| invalid())?;
            apply::apply(context, &plan)
        })
    })?;
    Ok(Child { copied, ..child })
}

fn invalid() -> SetupError {
    SetupError::new(Stage::Request, Errno::INVAL, "")
}

/// The root of a request, where that becomes a copy.
fn copied_root(context: &Context, body: &[u8]) -> Result<Option<RootFs>, SetupError> {
    if !context.copies_roots() {
        return Ok(None);
    }
    decode_rootfs(body).map(Some).map_err(|_| invalid())
}

/// The answer to a request for which no process runs.
fn reply(channel: &Channel, id: u64, outcome: &Outcome) -> Result<(), Errno> {
    channel.send(
        &encode_reply(Some(Told { id, ..Told::default() }), &encode_outcome(outcome)),
        &[],
        true,
    )
}

fn start_step(
    context: &Context,
    gateway: &mut Option<Gateway>,
    (id, network, limits): (u64, Network, Limits),
    body: &[u8],
    fds: &[OwnedFd],
) -> Result<Child, SetupError> {
    let (flags, namespace) = match network {
        Network::Host => (CloneFlags::STEP, None),
        Network::None => (CloneFlags::STEP_WITHOUT_NETWORK, None),
        Network::Isolated => (CloneFlags::STEP, Some(connected(context, gateway)?.take()?)),
    };
    let group = Group::make(&context.places, &limits, id)?;
    let doors = group.as_ref().map_or(Ok(Vec::new()), Group::doors);
    let started = doors.and_then(|doors| {
        let copied = copied_root(context, body)?;
        let confines = Confines {
            network: namespace,
            doors,
            fallback: Fallback::of(&limits, context.places.means(context.rootless), id),
        };
        let child = start_child(context, id, flags, false, |report| {
            step::run(context, body, fds, &confines, report)
        })?;
        Ok(Child { copied, ..child })
    });
    match started {
        Ok(mut child) => {
            child.group = group;
            child.is_connected = network == Network::Isolated;
            Ok(child)
        }
        Err(error) => {
            if let Some(group) = group {
                group.finish();
            }
            Err(error)
        }
    }
}

/// The gateway, started when it is needed first.
fn connected<'a>(context: &Context, gateway: &'a mut Option<Gateway>) -> Result<&'a mut Gateway, SetupError> {
    let running = if let Some(running) = gateway.take() {
        running
    } else {
        let missing = || SetupError::new(Stage::Network, Errno::NOENT, "slirp4netns");
        Gateway::start(context, context.slirp4netns.as_deref().ok_or_else(missing)?)?
    };
    Ok(gateway.insert(running))
}

/// `run` is what the new process does; it ends the process.
fn start_child(
    context: &Context,
    id: u64,
    flags: CloneFlags,
    streams: bool,
    run: impl FnOnce(&OwnedFd),
) -> Result<Child, SetupError> {
    let failed = || at(Stage::Namespaces, "");
    let (report, write_end) = pipe_with(PipeFlags::CLOEXEC).map_err(failed())?;
    match sys::clone_process(&context.single_thread, flags).map_err(failed())? {
        Cloned::Child => {
            run(&write_end);
            sys::exit_now(1)
        }
        Cloned::Parent { pid, pidfd } => Ok(Child {
            id,
            pid,
            pidfd,
            report,
            received: Vec::new(),
            group: None,
            is_connected: false,
            is_cut_off: false,
            streams,
            copied: None,
            records: None,
        }),
    }
}

fn signal_by_id(children: &[Child], id: u64, which: Signal) {
    // What records is no longer the request's process.
    if let Some(child) = children.iter().find(|child| child.id == id && child.records.is_none()) {
        signal(child, which);
    }
}

/// One that is gone meanwhile needs no signal.
fn signal(child: &Child, signal: Signal) {
    let _gone = pidfd_send_signal(&child.pidfd, signal);
}

/// Tells the other side of every child that ended, and forgets it.
fn report_ended(channel: &Channel, context: &Context, children: &mut Vec<Child>) -> Result<(), Errno> {
    let mut position = 0;
    while let Some(child) = children.get_mut(position) {
        if child.streams {
            read_available(child.report.as_fd(), &mut child.received)?;
        }
        match sys::reap(child.pid)? {
            None => position += 1,
            Some(usage) => {
                let mut child = children.swap_remove(position);
                read_available(child.report.as_fd(), &mut child.received)?;
                match follow(context, child, usage) {
                    Next::Record(child) => children.push(*child),
                    Next::Tell(ended) => {
                        channel.send(&encode_reply(Some(ended.told), &ended.report), &[], true)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// What comes after a process that is gone.
enum Next {
    Record(Box<Child>),
    /// Whoever hears of the end finds nothing left of it.
    Tell(Ended),
}

fn follow(context: &Context, mut child: Child, usage: Usage) -> Next {
    if let Some(mut ended) = child.records {
        match decode_outcome(&child.received) {
            Ok(Outcome::Code(0)) => {}
            Ok(Outcome::Failed(_)) => ended.report = child.received,
            Ok(_) | Err(_) => ended.fail(SetupError::new(Stage::Record, Errno::IO, "")),
        }
        return Next::Tell(ended);
    }
    let counted = child.group.take().map(Group::finish).unwrap_or_default();
    let mut ended = Ended {
        told: Told {
            id: child.id,
            usage: counted.over(usage),
            out_of_memory: counted.out_of_memory,
            out_of_pids: counted.out_of_pids,
        },
        report: if child.is_cut_off {
            encode_outcome(&Outcome::Failed(network::cut_off()))
        } else {
            child.received
        },
    };
    let failed = matches!(decode_outcome(&ended.report), Ok(Outcome::Failed(_)) | Err(_));
    let Some(rootfs) = child.copied.filter(|_| !failed) else {
        return Next::Tell(ended);
    };
    let started = start_child(context, ended.told.id, CloneFlags::NONE, false, |report| {
        step::report_and_exit(report, || {
            step::tie_to_launcher(context, [report].into_iter())?;
            copies::record(context, &rootfs).map(|()| Outcome::Code(0))
        })
    });
    match started {
        Ok(recorder) => Next::Record(Box::new(Child {
            records: Some(ended),
            ..recorder
        })),
        Err(error) => {
            ended.fail(error);
            Next::Tell(ended)
        }
    }
}

fn read_available(pipe: BorrowedFd<'_>, into: &mut Vec<u8>) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    loop {
        let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
        if poll(&mut ready, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
            return Ok(());
        }
        match rustix::io::read(pipe, &mut buffer)? {
            0 => return Ok(()),
            count => into.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
}
