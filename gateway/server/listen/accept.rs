//! Who serves a new connection: the thread that has the fewest.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pingora_core::server::ShutdownWatch;
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

/// How long nothing is accepted after there was nothing to accept it with: at once, it would fail again.
const REST: Duration = Duration::from_millis(200);

/// A thread and its connections: those of HTTP/2 count like the others, however much goes on in them.
pub(crate) struct Worker<A> {
    thread: Handle,
    /// What serves them.
    pub(crate) app: Arc<A>,
    open: Arc<AtomicUsize>,
}

/// A connection that was accepted.
pub(crate) struct Accepted<P> {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) at: Instant,
    /// That it may be there, until it is over.
    pub(crate) permit: P,
}

/// What serves a connection to its end.
pub(crate) trait ConnectionHandler: Send + Sync + 'static {
    /// That a connection may be there.
    type Permit: Send + 'static;

    /// Whether the connection `socket` from `peer` may be there; it is closed at once if not.
    fn admit(&self, socket: &TcpStream, peer: SocketAddr) -> Option<Self::Permit>;

    /// Serves a connection.
    fn serve(self: Arc<Self>, arrival: Accepted<Self::Permit>) -> impl Future<Output = ()> + Send;
}

impl<A: ConnectionHandler> Worker<A> {
    pub(crate) fn new(thread: Handle, app: A) -> Self {
        Self {
            thread,
            app: Arc::new(app),
            open: Arc::default(),
        }
    }

    fn take(&self, socket: TcpStream, peer: SocketAddr) {
        // Here and not on its thread: of what waits for that one, there are to be no more than may be there.
        let Some(permit) = self.app.admit(&socket, peer) else {
            return;
        };
        let arrival = Accepted {
            socket,
            peer,
            at: Instant::now(),
            permit,
        };
        let open = Open::new(&self.open);
        let app = self.app.clone();
        self.thread.spawn(async move {
            app.serve(arrival).await;
            drop(open);
        });
    }
}

/// One more, as long as it is there.
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

/// Accepts what comes to `listener`, until `shutdown` says that it is enough.
pub(crate) async fn accept<A: ConnectionHandler>(
    listener: TcpListener,
    lanes: Arc<[Worker<A>]>,
    mut shutdown: ShutdownWatch,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted.and_then(prepare),
            // Gone is as good as told.
            _ = shutdown.wait_for(|over| *over) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let fewest = lanes
                    .iter()
                    .min_by_key(|lane| lane.open.load(Ordering::Relaxed));
                if let Some(lane) = fewest {
                    lane.take(socket, peer);
                }
            }
            Err(error) if is_want(&error) => {
                tracing::error!("cannot accept connections: {error}");
                tokio::time::sleep(REST).await;
            }
            // Of one client, who left while it waited.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Takes it from the thread that has accepted it, for whichever is to serve it.
fn prepare(
    (socket, peer): (tokio::net::TcpStream, SocketAddr),
) -> io::Result<(TcpStream, SocketAddr)> {
    socket.set_nodelay(true)?;
    Ok((socket.into_std()?, peer))
}

/// Whether the system has nothing left to accept with.
fn is_want(error: &io::Error) -> bool {
    let want = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| want.contains(&error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tokio::sync::watch;

    use super::*;
    use crate::server::threads::Threads;

    /// Says which thread it is on, and holds the connection until the other side closes it.
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
    fn every_thread_gets_its_share_and_who_has_lost_some_gets_the_next() {
        let threads = Threads::start(3).unwrap();
        let (told, tells) = channel();
        let lanes: Arc<[_]> = threads
            .serve()
            .map(|thread| Worker::new(thread.clone(), Hold(told.clone())))
            .collect();
        let listener = threads
            .accept()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, until) = watch::channel(false);
        let accepting = threads
            .accept()
            .spawn(accept(listener, lanes.clone(), until));

        let connect = || {
            let client = TcpStream::connect(address).unwrap();
            (tells.recv().unwrap(), client)
        };
        let mut open: Vec<_> = (0..9).map(|_| connect()).collect();
        let of =
            |thread, open: &[(_, TcpStream)]| open.iter().filter(|(on, _)| *on == thread).count();
        assert!(open.iter().all(|(thread, _)| of(*thread, &open) == 3));

        let lost = open[4].0;
        open.retain(|(thread, _)| *thread != lost);
        while lanes
            .iter()
            .all(|lane| lane.open.load(Ordering::Relaxed) > 0)
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
