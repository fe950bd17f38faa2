//! The composition root: settings → store → engine → surfaces, and their end.
//!
//! The order of a start: the data directory and its key, the store with its migrations, the first tenant of an
//! empty database, the use cases, the background tasks, the listeners; only then is the server ready. The order
//! of an end: not ready any more, listeners closed and streams ended with a reason, what is under way finished,
//! the store closed; at the latest after `shutdown_timeout`.

pub mod backup;
mod directory;
pub mod doctor;
mod first_start;
mod health;
mod lock;
pub mod maintenance;
mod record;
pub mod shell;

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    domain::{
        audit::{Entry, Kind},
        time::Timestamp,
    },
    engine::{Engine, keys::Keys, limits::Limits, live::Live, tenants},
    expiry,
    grpc::{self, connection},
    shutdown::{OnFailure, Shutdown, Tasks},
    store::{self, Store},
};

use self::directory::Directory;

/// How often refusals are summed up, so how late after its minute a sum may come, and old answers dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// How many old answers are dropped at a time.
const ANSWERS_DROPPED_MAX: u32 = 1_000;

/// How long the whole end may take beyond `shutdown_timeout`, which is at most 20 s: it is over within 25 s.
const END_TIMEOUT: Duration = Duration::from_millis(4_500);

/// How long closing the store may take once everything else has ended; the last words to it a third of that.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(2_500);

/// A server that listens.
pub struct Server {
    shutdown: Shutdown,
    /// The store's own: it ends last, when nobody writes any more.
    storage: Shutdown,
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    health: health::Health,
    shutdown_timeout: Duration,
    /// Where the service listens.
    pub address: SocketAddr,
    /// Where health is told besides, in plaintext.
    pub health_address: Option<SocketAddr>,
}

/// Runs a server until it is told to end.
///
/// # Errors
/// What keeps it from starting, with what to do.
pub async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let server = Server::start(config, clock).await?;
    server.shutdown.signals().context("cannot listen for signals")?;
    tracing::info!(address = %server.address, "callgate is ready");
    Ok(server.wait().await)
}

impl Server {
    /// Starts a server; it is ready when this returns.
    ///
    /// # Errors
    /// What keeps it from starting, with what to do.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        check_listener(&config)?;
        let (shutdown, storage) = (Shutdown::new(), Shutdown::new());
        let tasks = shutdown.tasks();
        let directory = Directory::prepare(&config.server.data_dir)?;
        let key = directory.key()?;
        let keys = Arc::new(Keys::derive(&key));
        let live = Arc::new(Live::new());
        let store = open(&config, &directory, &clock, &storage.tasks(), &live).await?;
        first_start::run(&config, &directory, &*store).await?;
        let engine = Arc::new(Engine::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&live),
            keys,
            limits(&config),
        ));
        let health = health::Health::new(&config).await;
        background(&config, &engine, &live, &clock, &tasks, &health);
        record::background(&config, &engine, &clock, &tasks);
        let address = listen(&config, &engine, &clock, &tasks, &health).await?;
        let health_address = listen_for_health(&config, &clock, &tasks, &health).await?;
        engine
            .record(Entry::new(Kind::ServerStarted, tenants::home()))
            .await
            .context("cannot record the start")?;
        engine.poll().await.context("cannot use the database")?;
        health.ready().await;
        Ok(Self {
            shutdown,
            storage,
            engine,
            store,
            health,
            shutdown_timeout: config.server.shutdown_timeout,
            address,
            health_address,
        })
    }

    /// The use cases, to be called without the wire.
    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Begins the end, as a signal would.
    pub fn stop(&self) {
        self.shutdown.begin("asked to");
    }

    /// Waits until the server is told to end, and ends it.
    pub async fn wait(self) -> ExitCode {
        tokio::select! {
            () = self.shutdown.soft().cancelled_owned() => {}
            () = self.storage.soft().cancelled_owned() => self.shutdown.begin("the store failed"),
        }
        let ended = tokio::time::timeout(self.shutdown_timeout + END_TIMEOUT, self.end()).await;
        if let Ok(clean) = ended {
            tracing::info!(clean, "callgate has ended");
        } else {
            tracing::warn!("the end took too long and was cut short; the next start recovers");
        }
        match self.storage.failed() {
            Some(_) => ExitCode::FAILURE,
            None => self.shutdown.exit_code(),
        }
    }

    /// Ends everything, step by step; whether nothing had to be given up.
    async fn end(&self) -> bool {
        let since_begun = SystemClock::new();
        self.health.stop().await;
        let drained = self.shutdown.drain(self.shutdown_timeout).await;
        // Not clean and yet in time: a second signal said not to wait.
        let is_hurried = !drained.clean && since_begun.monotonic() < self.shutdown_timeout;
        if is_hurried {
            tracing::warn!("told not to wait: the end isn't recorded");
        } else if tokio::time::timeout(CLOSE_TIMEOUT / 3, self.last_words()).await.is_err() {
            tracing::warn!("the end can't be recorded in time");
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, self.store.close()).await.is_err() {
            tracing::warn!("the store didn't close in time; it recovers at the next start");
        }
        let closed = self.storage.drain(Duration::ZERO).await;
        drained.clean && closed.left.is_empty()
    }

    /// Records what is still to be recorded when everything else has ended.
    async fn last_words(&self) {
        let summed = self.engine.sum_up_refusals(Timestamp::MAX).await;
        let stopped = self.engine.record(Entry::new(Kind::ServerStopped, tenants::home())).await;
        let kept = self.engine.keep_checkpoint(Duration::ZERO).await;
        if let Err(error) = summed.and(stopped).and(kept) {
            tracing::warn!(reason = error.reason.as_str(), "the end can't be recorded");
        }
    }
}

/// Refuses to listen to the world in plaintext, unless the operator said so in so many words.
fn check_listener(config: &Config) -> anyhow::Result<()> {
    let address = config.server.listen;
    if address.ip().is_loopback() {
        return Ok(());
    }
    if !config.server.insecure {
        bail!(
            "`{address}` is not a loopback address, and without TLS credentials and arguments would cross the network readable; listen on 127.0.0.1, or say `--insecure` if something else protects the way"
        );
    }
    tracing::warn!(%address, "listening beyond loopback without TLS: credentials and arguments cross the network readable");
    Ok(())
}

async fn open(
    config: &Config,
    directory: &Directory,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    live: &Arc<Live>,
) -> anyhow::Result<Arc<dyn Store>> {
    let heard = Arc::clone(live);
    let url = directory.store_url()?;
    let on_commit: store::OnCommit = Arc::new(move |committed| heard.committed(committed));
    store::open(&url, store_options(config), Arc::clone(clock), tasks, on_commit)
        .await
        .with_context(|| format!("cannot open the database in `{}`", directory.path().display()))
}

/// What the store is limited to.
pub(crate) fn store_options(config: &Config) -> store::options::Options {
    let of = &config.store;
    store::options::Options {
        write_queue_max: of.write_queue_max,
        write_batch_max: of.write_batch_max,
        write_retry_timeout: of.write_retry_timeout,
        writer_busy_timeout: of.writer_busy_timeout,
        reader_busy_timeout: of.reader_busy_timeout,
        readers_max: of.readers_max,
        wal_autocheckpoint_pages: of.wal_autocheckpoint_pages,
        journal_size_limit_bytes: of.journal_size_limit,
        reserve_bytes: of.disk_reserve,
        alone: false,
    }
}

/// What the use cases are limited to.
fn limits(config: &Config) -> Limits {
    let (approval, stream, query) = (&config.approval, &config.stream, &config.query);
    Limits {
        approval_timeout: approval.timeout,
        pending_max: approval.max_pending.into(),
        pending_per_user_max: approval.max_pending_per_user.into(),
        requests_per_minute: approval.requests_per_minute.into(),
        authorizations_per_second: config.authorize.requests_per_second,
        grant_timeout: approval.grant_timeout,
        cool_down: approval.cool_down,
        use_within: config.authorize.allow_use_within,
        arguments_bytes_max: approval.arguments_max,
        justification_bytes_max: approval.justification_max,
        justifications_max: approval.justifications_max,
        reason_bytes_max: approval.reason_max,
        request_id_retention: config.authorize.request_id_retention,
        heartbeat: stream.heartbeat,
        stream_write_timeout: stream.write_timeout,
        streams_max: stream.max,
        streams_per_principal_max: stream.per_principal_max,
        streams_per_gate_max: stream.per_gate_max,
        page_size_default: query.page_size_default,
        page_size_max: query.page_size_max,
        audit_scan_entries_max: u64::try_from(query.audit_scan_entries_max).unwrap_or(u64::MAX),
        policy_bytes_max: config.identity.policy_bytes_max,
        token_lifetime_max: config.identity.token_lifetime_max,
        expiry_batch_max: u32::try_from(approval.expiry_batch_max).unwrap_or(u32::MAX),
        refused_peers_max: config.identity.refused_peers_max,
    }
}

/// Starts what goes on besides requests.
fn background(
    config: &Config,
    engine: &Arc<Engine>,
    live: &Arc<Live>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    health: &health::Health,
) {
    let timer = expiry::run(Arc::clone(engine), Arc::clone(live), Arc::clone(clock), tasks.soft());
    tasks.spawn("expiry", OnFailure::Stop, timer);
    let watch = health.clone().watch(Arc::clone(engine), Arc::clone(clock), tasks.soft());
    tasks.spawn("health", OnFailure::Stop, watch);
    let every = config.approval.polling_interval;
    let (of, pace, stopping) = (Arc::clone(engine), Arc::clone(clock), tasks.soft());
    let pulse = health.clone();
    tasks.spawn("poll", OnFailure::Stop, async move {
        while !stopping.is_cancelled() {
            if let Err(error) = of.poll().await {
                tracing::debug!(
                    reason = error.reason.as_str(),
                    "other processes' changes can't be read at the moment"
                );
            }
            pulse.tick(pace.monotonic());
            tokio::select! {
                () = stopping.cancelled() => {}
                () = pace.sleep_until_after(every) => {}
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
    let (of, pace, stopping) = (Arc::clone(engine), Arc::clone(clock), tasks.soft());
    tasks.spawn("housekeeping", OnFailure::Stop, async move {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok::<(), std::convert::Infallible>(()),
                () = pace.sleep_until_after(HOUSEKEEPING) => {}
            }
            if let Err(error) = of.keep_house(ANSWERS_DROPPED_MAX).await {
                tracing::warn!(reason = error.reason.as_str(), "housekeeping failed; it is tried again");
            }
        }
    });
}

async fn listen(
    config: &Config,
    engine: &Arc<Engine>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    health: &health::Health,
) -> anyhow::Result<SocketAddr> {
    let listener = bind(config.server.listen).await?;
    let address = listener.local_addr().context("cannot tell the address of the listener")?;
    let router =
        grpc::router(Arc::clone(engine), tasks, &config.connection, config.stream.buffer, health.service())
            .context("cannot serve the descriptors of the protocol")?;
    let connections = accept(config, listener, clock, tasks, "listener");
    let (soft, hard) = (tasks.soft(), tasks.hard());
    tasks.spawn("server", OnFailure::Stop, async move {
        tokio::select! {
            served = router.serve_with_incoming_shutdown(connections, soft.cancelled_owned()) => served,
            () = hard.cancelled() => Ok(()),
        }
    });
    Ok(address)
}

async fn listen_for_health(
    config: &Config,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    health: &health::Health,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = config.server.health_listen else { return Ok(None) };
    let listener = bind(address).await?;
    let address = listener.local_addr().context("cannot tell the address of the health listener")?;
    let (soft, hard) = (tasks.soft(), tasks.hard());
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(config.connection.keepalive_interval))
        .http2_keepalive_timeout(Some(config.connection.keepalive_timeout))
        .max_concurrent_streams(config.connection.streams_max)
        .http2_max_header_list_size(config.connection.header_bytes_max)
        .add_service(health.service());
    let connections = accept(config, listener, clock, tasks, "health listener");
    tasks.spawn("health server", OnFailure::Stop, async move {
        tokio::select! {
            served = router.serve_with_incoming_shutdown(connections, soft.cancelled_owned()) => served,
            () = hard.cancelled() => Ok(()),
        }
    });
    Ok(Some(address))
}

/// Accepts what comes to a listener, within the limits of connections.
fn accept(
    config: &Config,
    listener: TcpListener,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    name: &'static str,
) -> ReceiverStream<io::Result<connection::Connection>> {
    let (out, connections) = mpsc::channel(1);
    let limits = connection::ConnectionLimits {
        max: config.connection.max,
        first_byte_timeout: config.connection.first_byte_timeout,
    };
    let accepting = connection::accept(listener, limits, Arc::clone(clock), out, tasks.soft());
    tasks.spawn(name, OnFailure::Stop, accepting);
    ReceiverStream::new(connections)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on `{address}`; is another server running there? choose another address with --listen")
    })
}
