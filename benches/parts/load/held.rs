//! Connections that are held open: silent streams, and clients that stop reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::streams::stamps;
use crate::{Target, input_closed};

/// Opens connections with `open`, and holds them until the input ends.
pub(crate) async fn open_all<F>(to: Target, count: u64, open: fn(Target) -> F)
where
    F: Future<Output = TcpStream> + Send + 'static,
{
    let opened = Arc::new(AtomicUsize::new(0));
    for begun in 0..count {
        let (opening, counted) = (open(to.clone()), opened.clone());
        tokio::spawn(async move {
            let _held = opening.await;
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        });
        // No more connection attempts at once than a listen backlog holds.
        while begun.saturating_sub(opened.load(Ordering::Relaxed) as u64) > 64 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    while opened.load(Ordering::Relaxed) as u64 != count {
        sleep(Duration::from_millis(5)).await;
    }
    println!("open");
    input_closed().await;
    std::process::exit(0);
}

/// Reads until the first event: the provider sends the next one much later.
pub(crate) async fn hold(to: Target) -> TcpStream {
    let mut stream = to.open(false).await;
    let (mut received, mut chunk) = (Vec::new(), [0; 1024]);
    while stamps(&received).count() == 0 {
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "a stream broke off");
        received.extend_from_slice(&chunk[..read]);
    }
    stream
}

/// Reads the first bytes of the response, and no more.
pub(crate) async fn stall(to: Target) -> TcpStream {
    let mut stream = to.open(true).await;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    stream
}
