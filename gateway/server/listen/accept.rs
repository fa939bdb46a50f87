//! The accept loop: gives each new connection to the worker that has the fewest.
//!
//! Knows nothing of HTTP.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pingora_core::server::ShutdownWatch;
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::server::connection::handler::{Accepted, ConnectionHandler};

/// The pause after an accept failed for lack of system resources: an immediate retry would fail again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A serving thread and its connections. An HTTP/2 connection counts as one, however many streams it has.
pub(crate) struct Worker<H> {
    thread: Handle,
    pub(crate) handler: Arc<H>,
    /// How many connections it has.
    open: Arc<AtomicUsize>,
}

impl<H: ConnectionHandler> Worker<H> {
    /// Serves connections on `thread` with `handler`.
    pub(crate) fn new(thread: Handle, handler: H) -> Self {
        Self {
            thread,
            handler: Arc::new(handler),
            open: Arc::default(),
        }
    }

    fn take(&self, socket: TcpStream, peer: SocketAddr) {
        // Admit before handing over, so that connections queued for a busy worker count against the limit.
        let Some(permit) = self.handler.admit(&socket, peer) else {
            return;
        };
        let arrival = Accepted {
            socket,
            peer,
            at: Instant::now(),
            permit,
        };
        let open = Open::new(&self.open);
        let handler = self.handler.clone();
        self.thread.spawn(async move {
            handler.serve(arrival).await;
            drop(open);
        });
    }
}

/// Counts a connection as open until it is dropped.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections from `listener` until `shutdown` turns true.
pub(crate) async fn accept<H: ConnectionHandler>(
    listener: TcpListener,
    workers: Arc<[Worker<H>]>,
    mut shutdown: ShutdownWatch,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted.and_then(prepare),
            // A closed channel means shutdown, too.
            _ = shutdown.wait_for(|over| *over) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let least_loaded = workers
                    .iter()
                    .min_by_key(|worker| worker.open.load(Ordering::Relaxed));
                if let Some(worker) = least_loaded {
                    worker.take(socket, peer);
                }
            }
            Err(error) if is_exhaustion(&error) => {
                tracing::error!("cannot accept connections: {error}");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            // An error of one connection: its client left while it was queued.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Detaches the socket from the runtime that accepted it, for the one that serves it.
fn prepare(
    (socket, peer): (tokio::net::TcpStream, SocketAddr),
) -> io::Result<(TcpStream, SocketAddr)> {
    socket.set_nodelay(true)?;
    Ok((socket.into_std()?, peer))
}

/// Whether the system lacks the resources to accept any connection.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| exhausted.contains(&error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tokio::sync::watch;

    use super::*;
    use crate::server::threads::Threads;

    /// Reports the thread that it runs on, and holds the connection until the client closes it.
    struct Hold(Sender<std::thread::ThreadId>);

    impl ConnectionHandler for Hold {
        type Permit = ();

        fn admit(&self, _socket: &TcpStream, _peer: SocketAddr) -> Option<()> {
            Some(())
        }

        async fn serve(self: Arc<Self>, arrival: Accepted<()>) {
            let socket = tokio::net::TcpStream::from_std(arrival.socket).unwrap();
            self.0.send(std::thread::current().id()).unwrap();
            socket.readable().await.unwrap();
        }
    }

    #[test]
    fn connections_are_spread_evenly_and_the_least_loaded_thread_gets_the_next() {
        let threads = Threads::start(3).unwrap();
        let (report, reports) = channel();
        let workers: Arc<[_]> = threads
            .serve()
            .map(|thread| Worker::new(thread.clone(), Hold(report.clone())))
            .collect();
        let listener = threads
            .accept()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, until) = watch::channel(false);
        let accepting = threads
            .accept()
            .spawn(accept(listener, workers.clone(), until));

        let connect = || {
            let client = TcpStream::connect(address).unwrap();
            (reports.recv().unwrap(), client)
        };
        let mut open: Vec<_> = (0..9).map(|_| connect()).collect();
        let of =
            |thread, open: &[(_, TcpStream)]| open.iter().filter(|(on, _)| *on == thread).count();
        assert!(open.iter().all(|(thread, _)| of(*thread, &open) == 3));

        let lost = open[4].0;
        open.retain(|(thread, _)| *thread != lost);
        while workers
            .iter()
            .all(|worker| worker.open.load(Ordering::Relaxed) > 0)
        {
            std::thread::yield_now();
        }
        open.extend((0..3).map(|_| connect()));
        assert_eq!(of(lost, &open), 3);

        shutdown.send(true).unwrap();
        while !accepting.is_finished() {
            std::thread::yield_now();
        }
        assert!(TcpStream::connect(address).is_err());
    }
}
