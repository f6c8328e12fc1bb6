//! The row of `hm doctor` about the Docker engine.

use std::time::Duration;

use hm_vm::{EngineAddress, EngineInfo, ask_engine};
use tokio::time::timeout;

use super::doctor::{Finding, holds, off};
use crate::engine;
use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;

const WHAT: &str = "Docker engine";
/// An engine that takes longer to say what it is, its connection included, is none to build on.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the engine that a build with the backend docker would use.
pub(super) async fn find(process: &Process) -> Finding {
    match engine::address(process) {
        Ok(address) => ask(&address, LIMIT).await,
        Err(error) => none(&error.in_one_line(), "docker context ls"),
    }
}

async fn ask(address: &EngineAddress, limit: Duration) -> Finding {
    let usual = match address {
        EngineAddress::Socket(_) => "sudo systemctl start docker".to_owned(),
        EngineAddress::Tcp { .. } | EngineAddress::Ssh(_) => {
            format!("have this answer: docker --host {address} version")
        }
    };
    match timeout(limit, ask_engine(address)).await {
        Ok(Ok(EngineInfo { version, platform })) => holds(WHAT, &format!("{address}, version {version}, {platform}")),
        Ok(Err(error)) => {
            let told = CliError::from_error("engine_unavailable", Exit::Unavailable, &error).in_one_line();
            none(&told, &error.fix().unwrap_or(usual))
        }
        Err(_elapsed) => none(&format!("{address} has not answered within {limit:?}"), &usual),
    }
}

fn none(why: &str, fix: &str) -> Finding {
    off(
        WHAT,
        format!("{why}; only --backend docker and docker-daemon: need one"),
        fix,
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::doctor::State;
    use super::*;

    fn asked(address: &str) -> Finding {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let address = EngineAddress::parse(address, None).unwrap();
        runtime.block_on(ask(&address, Duration::from_millis(100)))
    }

    #[test]
    fn one_that_is_silent_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", silent.local_addr().unwrap());
        let found = asked(&address);
        assert_eq!(found.state, State::Off, "{}", found.is);
        assert!(
            found
                .is
                .starts_with(&format!("{address} has not answered within 100ms")),
            "{}",
            found.is
        );
        assert_eq!(
            found.fix,
            Some(format!("have this answer: docker --host {address} version"))
        );
    }

    #[test]
    fn one_that_is_not_there_is_off() {
        let found = asked("unix:///no/such.sock");
        assert_eq!(
            (found.state, found.fix.as_deref()),
            (State::Off, Some("sudo systemctl start docker"))
        );
        assert!(
            found.is.starts_with("no engine answers at unix:///no/such.sock"),
            "{}",
            found.is
        );
    }
}
