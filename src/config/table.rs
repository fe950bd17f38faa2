//! The table of settings, and [`Config`] as it comes from it.
//!
//! A row reads: the name, the field and its type, the reader of its text, its bounds where it has any (both
//! allowed), and its default. Variables and flags follow from the name.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{ConfigError, Layers, Setting, values};
use crate::telemetry;

macro_rules! settings {
    ($(
        #[doc = $group_doc:literal]
        $group:ident: $Group:ident {$(
            $(#[doc = $doc:literal])+
            $name:ident => $field:ident: $type:ty as $reader:ident $(in $least:literal..$greatest:literal)?
                = $default:literal;
        )+}
    )+) => {
        $(
            #[doc = $group_doc]
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Group {$(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("Default: `", $default, "`." $(, " Bounds: `", $least, "` to `", $greatest, "`.")?)]
                pub $field: $type,
            )+}
        )+

        /// The effective settings of a server, by what they are about.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {$(
            #[doc = $group_doc]
            pub $group: $Group,
        )+}

        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[$($(rows::$name),+),+];

        #[expect(non_upper_case_globals, reason = "a row has the name of its setting")]
        mod rows {
            use super::{Duration, PathBuf, Setting, SocketAddr, telemetry, values};

            $($(
                pub(super) const $name: Setting = Setting {
                    name: stringify!($name),
                    reader: stringify!($reader),
                    default: $default,
                    bounds: settings!(@bounds $($least, $greatest)?),
                    doc: concat!($($doc),+),
                    group_doc: $group_doc,
                    check: |text| {
                        let bounds = settings!(@bounds $($least, $greatest)?);
                        values::bounded::<$type>(values::$reader, bounds, text).map(drop)
                    },
                };
            )+)+
        }

        impl Config {
            pub(super) fn read(layers: &Layers<'_>) -> Result<Self, ConfigError> {
                Ok(Self {$(
                    $group: $Group {$(
                        $field: layers.value(&rows::$name, |text| {
                            values::bounded::<$type>(values::$reader, rows::$name.bounds, text)
                        })?,
                    )+},
                )+})
            }
        }
    };
    (@bounds) => { None };
    (@bounds $least:literal, $greatest:literal) => { Some(($least, $greatest)) };
}

settings! {
    /// The server
    server: Server {
        /// The folder of the database, its keys and the first credentials.
        data_dir => data_dir: PathBuf as path = "./callgate-data";
        /// The address that the service listens on. Beyond loopback it needs `insecure`.
        listen => listen: SocketAddr as address = "127.0.0.1:50051";
        /// The address of a second, plaintext listener that serves health and nothing else.
        health_listen => health_listen: Option<SocketAddr> as address_or_none = "none";
        /// Allows listening beyond loopback without TLS: credentials and arguments cross the network readable.
        insecure => insecure: bool as switch = "false";
        /// The policy document for an empty database; without one, the built-in policy.
        policy => policy: Option<PathBuf> as path_or_none = "none";
        /// The folder from which an empty database takes over secrets made elsewhere.
        bootstrap_dir => bootstrap_dir: Option<PathBuf> as path_or_none = "none";
        /// How long a shutdown waits for what is under way. The process has ended within 25 s in any case.
        shutdown_timeout => shutdown_timeout: Duration as duration in "0s".."20s" = "20s";
    }

    /// Approvals and grants
    approval: Approval {
        /// Whether calls at or over the policy's threshold may be approved at all. It is the first value of the
        /// policy's own switch, and changes nothing in a database that has one.
        approval_workflow_enabled => workflow_enabled: bool as switch = "true";
        /// How long people have to decide.
        approval_timeout => timeout: Duration as duration in "5s".."7d" = "300s";
        /// How often the server looks for changes that other processes made to the same database.
        approval_polling_interval => polling_interval: Duration as duration in "10ms".."60s" = "1s";
        /// How many approvals of a tenant may be pending.
        approval_max_pending => max_pending: u32 as count in "1".."100000" = "50";
        /// How many approvals of a user may be pending.
        approval_max_pending_per_user => max_pending_per_user: u32 as count in "1".."100000" = "10";
        /// How many approvals a user may ask for in a minute.
        approval_requests_per_minute => requests_per_minute: u32 as count in "1".."1000000" = "30";
        /// How long the grant of an approved approval may be spent.
        grant_timeout => grant_timeout: Duration as duration in "1s".."7d" = "300s";
        /// How long an action that was rejected is denied without asking again.
        cool_down => cool_down: Duration as duration in "0s".."1d" = "60s";
        /// The longest arguments of a tool call.
        arguments_max => arguments_max: usize as bytes in "1KiB".."16MiB" = "256KiB";
        /// The longest justification of a request.
        justification_max => justification_max: usize as bytes in "64".."64KiB" = "4KiB";
        /// How many justifications one approval keeps: that of the first request and of those that joined.
        justifications_max => justifications_max: usize as count in "1".."100" = "10";
        /// The longest reason of a vote, a cancellation or a revocation.
        reason_max => reason_max: usize as bytes in "64".."64KiB" = "4KiB";
        /// How many overdue approvals one commit ends.
        expiry_batch_max => expiry_batch_max: usize as count in "1".."10000" = "500";
    }

    /// Authorizing calls
    authorize: Authorize {
        /// How many calls of `AuthorizeTool` and `AuthorizeEndpoint` a user may make in a second; 0 is no limit.
        authorize_requests_per_second => requests_per_second: u32 as count in "0".."1000000" = "1000";
        /// How long an ALLOW may be used.
        allow_use_within => allow_use_within: Duration as duration in "1s".."5m" = "10s";
        /// How long a repeated call with the same `request_id` gets the first answer.
        request_id_retention => request_id_retention: Duration as duration in "1m".."30d" = "24h";
    }

    /// Streams of waiting callers
    stream: Stream {
        /// How often, at least, a stream without news says that it lives: up to a second early, so that many do together.
        stream_heartbeat => heartbeat: Duration as duration in "100ms".."60s" = "15s";
        /// How long a client may leave a message of its stream unread before the stream ends.
        stream_write_timeout => write_timeout: Duration as duration in "100ms".."10m" = "30s";
        /// How many streams may be open.
        streams_max => max: usize as count in "1".."1000000" = "12000";
        /// How many streams a principal may have open.
        streams_per_principal_max => per_principal_max: usize as count in "1".."1000000" = "200";
        /// How many streams a principal with the gate role may have open.
        streams_per_gate_max => per_gate_max: usize as count in "1".."1000000" = "2000";
        /// How many messages wait in a stream for its client.
        stream_buffer => buffer: usize as count in "1".."1024" = "4";
    }

    /// Connections and messages
    connection: Connection {
        /// How many connections may be open.
        connections_max => max: usize as count in "1".."1000000" = "2000";
        /// How many calls and streams one connection may have under way.
        connection_streams_max => streams_max: u32 as count in "1".."65535" = "512";
        /// How long a new connection may stay silent.
        connection_first_byte_timeout => first_byte_timeout: Duration as duration in "100ms".."5m" = "10s";
        /// How old a connection grows before its client is told to make a new one.
        connection_age_max => age_max: Duration as duration in "1s".."7d" = "30m";
        /// How long what is under way on a connection that is too old may go on.
        connection_age_grace => age_grace: Duration as duration in "0s".."1h" = "60s";
        /// How often an idle connection is probed.
        keepalive_interval => keepalive_interval: Duration as duration in "1s".."1h" = "30s";
        /// How long the answer to a probe may take.
        keepalive_timeout => keepalive_timeout: Duration as duration in "1s".."10m" = "20s";
        /// The longest request message.
        request_bytes_max => request_bytes_max: usize as bytes in "64KiB".."64MiB" = "1MiB";
        /// The longest response message.
        response_bytes_max => response_bytes_max: usize as bytes in "64KiB".."64MiB" = "4MiB";
        /// The longest headers of a request, all together.
        header_bytes_max => header_bytes_max: u32 as bytes in "1KiB".."1MiB" = "16KiB";
    }

    /// Lists and queries
    query: Query {
        /// How many items a page has when the caller doesn't say. At most `page_size_max`.
        page_size_default => page_size_default: u32 as count in "1".."10000" = "50";
        /// How many items a page may have.
        page_size_max => page_size_max: u32 as count in "1".."10000" = "500";
        /// How much work one audit query does before it answers with what it found and a cursor, counted in
        /// entries that it looks at: looking up a group of blocks in the index counts as 4, a block as 8, and
        /// reading a stored segment that the index points to as 32.
        audit_scan_entries_max => audit_scan_entries_max: usize as count in "1".."10000000" = "20000";
    }

    /// The record
    audit: Audit {
        /// How often a signed checkpoint of the audit log is stored and logged, if the log has grown.
        audit_checkpoint_interval => checkpoint_interval: Duration as duration in "1s".."1d" = "60s";
    }

    /// The store
    store: Store {
        /// How many operations wait for the writer.
        write_queue_max => write_queue_max: usize as count in "1".."100000" = "1024";
        /// How many operations share a commit.
        write_batch_max => write_batch_max: usize as count in "1".."10000" = "256";
        /// How long the writer tries again while it can't begin a transaction.
        write_retry_timeout => write_retry_timeout: Duration as duration in "0s".."60s" = "5s";
        /// How long the writer waits for another process's lock, each time.
        writer_busy_timeout => writer_busy_timeout: Duration as duration in "0s".."60s" = "250ms";
        /// How long a reader waits for a lock.
        reader_busy_timeout => reader_busy_timeout: Duration as duration in "0s".."60s" = "2s";
        /// How many connections read.
        readers_max => readers_max: u32 as count in "1".."64" = "4";
        /// After how many pages the write-ahead log is copied into the database.
        wal_autocheckpoint_pages => wal_autocheckpoint_pages: u32 as count in "1".."1000000" = "4000";
        /// To what size the file of the write-ahead log is cut back.
        journal_size_limit => journal_size_limit: u64 as bytes in "0".."64GiB" = "64MiB";
        /// How much room the file `callgate.reserve` beside the database holds. It is given up when the disk is
        /// full, so that decisions go on until somebody makes room; 0 is none.
        disk_reserve => disk_reserve: u64 as bytes in "0".."16GiB" = "64MiB";
        /// How far the service's time may be ahead of the wall clock before the server stops serving.
        clock_skew_max => clock_skew_max: Duration as duration in "1s".."1h" = "60s";
    }

    /// Credentials and policies
    identity: Identity {
        /// The longest policy document.
        policy_bytes_max => policy_bytes_max: usize as bytes in "1KiB".."64MiB" = "1MiB";
        /// How long a token may live.
        token_lifetime_max => token_lifetime_max: Duration as duration in "1m".."3650d" = "365d";
        /// For how many peers refused credentials and calls are counted apart.
        refused_peers_max => refused_peers_max: usize as count in "1".."1000000" = "1000";
    }

    /// Logs
    log: Log {
        /// What is logged: a level, or directives such as `info,callgate=debug`.
        log_filter => filter: String as filter = "info";
        /// How a log line looks: `text` or `json`.
        log_format => format: telemetry::Format as format = "text";
    }
}
