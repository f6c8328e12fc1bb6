//! Where the output of a command goes.

use std::fmt;

use hm_plugin_protocol::Stream;

/// Takes the output of one step as it is read.
///
/// Called from one task at a time. The bytes are what the command wrote, in the order in which they were read and with
/// nothing added, left out or changed; where a read ends says nothing about lines or characters. An implementation
/// returns soon: it may write to a file, it must not wait for a reader.
pub trait OutputSink: Send + Sync + fmt::Debug {
    /// Takes the next bytes of `stream`; never empty.
    fn write(&self, stream: Stream, bytes: &[u8]);
}
