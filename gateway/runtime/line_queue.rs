//! A queue of lines that a thread of its own writes, so that no other thread waits for a slow reader of the output.
//!
//! The queue is bounded: when it is full, a line is dropped and counted. Lines that are queued when the process ends or
//! aborts are lost unless [`LineQueue::flush`] is called.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

/// How many lines may be queued.
pub(crate) const CAPACITY: usize = 8192;
/// How long the writer sleeps between two batches while lines keep arriving.
const BATCH_PAUSE: Duration = Duration::from_millis(10);

/// Formats an item as a line, on the writing thread.
pub(crate) trait Format<T> {
    /// The line of `item`, with its newline.
    fn line<'l>(&'l mut self, item: &'l T) -> &'l [u8];
}

/// A handle of the queue, cheap to clone. The writing thread ends when every handle is dropped.
pub(crate) struct LineQueue<T> {
    sender: SyncSender<Entry<T>>,
    dropped: IntCounter,
}

enum Entry<T> {
    Line(T),
    /// Acknowledge once all entries before it are written.
    Flush(SyncSender<()>),
}

impl<T: Send + 'static> LineQueue<T> {
    /// Starts a thread called `name` that writes to `output`. Lost lines are counted in `dropped`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(
        name: &str,
        output: impl Write + Send + 'static,
        format: impl Format<T> + Send + 'static,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let failed = dropped.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(output, format, &receiver, &failed))?;
        Ok(Self { sender, dropped })
    }

    /// Queues a line, or drops and counts it if the queue is full.
    pub(crate) fn push(&self, line: T) {
        if self.sender.try_send(Entry::Line(line)).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until everything that was pushed before is written, for up to `at_most`. Returns whether it was.
    pub(crate) fn flush(&self, at_most: Duration) -> bool {
        let end = Instant::now() + at_most;
        let (done, written) = sync_channel(1);
        let mut entry = Entry::Flush(done);
        while let Err(error) = self.sender.try_send(entry) {
            let TrySendError::Full(back) = error else {
                return false;
            };
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(BATCH_PAUSE);
            entry = back;
        }
        let left = end.saturating_duration_since(Instant::now());
        written.recv_timeout(left).is_ok()
    }
}

impl<T> Clone for LineQueue<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            dropped: self.dropped.clone(),
        }
    }
}

fn write_all<T>(
    output: impl Write,
    mut format: impl Format<T>,
    entries: &Receiver<Entry<T>>,
    dropped: &IntCounter,
) {
    let mut output = io::BufWriter::with_capacity(64 << 10, output);
    // The thread blocks only while nothing happens. Under load it polls after a pause, so that no request pays for waking
    // a thread.
    while let Ok(first) = entries.recv() {
        let mut next = Some(first);
        while let Some(entry) = next {
            for entry in std::iter::once(entry).chain(entries.try_iter()) {
                match entry {
                    Entry::Line(item) => {
                        if output.write_all(format.line(&item)).is_err() {
                            dropped.inc();
                        }
                    }
                    Entry::Flush(done) => {
                        let _ = output.flush();
                        let _ = done.try_send(());
                    }
                }
            }
            let _ = output.flush();
            std::thread::sleep(BATCH_PAUSE);
            next = entries.try_recv().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    struct Numbers(Vec<u8>);

    impl Format<u32> for Numbers {
        fn line<'l>(&'l mut self, item: &'l u32) -> &'l [u8] {
            self.0 = format!("{item}\n").into_bytes();
            &self.0
        }
    }

    /// A reader that blocks until it is opened.
    #[derive(Clone, Default)]
    struct Reader(Arc<Pipe>);

    #[derive(Default)]
    struct Pipe {
        /// Whether the reader is open, and what it has read.
        state: Mutex<(bool, Vec<u8>)>,
        changed: Condvar,
    }

    impl Reader {
        fn open(&self) {
            self.0.state.lock().unwrap().0 = true;
            self.0.changed.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.state.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let locked = self.0.state.lock().unwrap();
            let opened = self.0.changed.wait_while(locked, |state| !state.0);
            let mut state = opened.unwrap();
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(output: impl Write + Send + 'static) -> LineQueue<u32> {
        let dropped = IntCounter::new("c", "c").unwrap();
        LineQueue::start("lines", output, Numbers(Vec::new()), dropped).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_pushed_before_a_flush_are_written_after_it() {
        let reader = Reader::default();
        reader.open();
        let queue = queue(reader.clone());
        let mut expected = String::new();
        for number in 0..100 {
            queue.push(number);
            expected += &number.to_string();
            expected.push('\n');
            if number % 10 == 0 {
                assert!(queue.flush(LONG));
                assert_eq!(reader.text(), expected);
            }
        }
    }

    #[test]
    fn a_stopped_reader_costs_lines_and_blocks_no_thread() {
        let reader = Reader::default();
        let queue = queue(reader.clone());
        let all = 3 * u32::try_from(CAPACITY).unwrap();
        (0..all).for_each(|number| queue.push(number));
        assert!(queue.dropped.get() > 0);
        assert!(!queue.flush(Duration::from_millis(50)));
        reader.open();
        assert!(queue.flush(LONG));
        let written = reader.text().lines().count() as u64;
        assert_eq!(written + queue.dropped.get(), u64::from(all));
        // The lines before the queue was full are there from the first one, without a gap.
        assert!(reader.text().starts_with("0\n1\n2\n"));
    }

    #[test]
    fn a_writing_thread_that_has_died_blocks_no_thread() {
        struct Fails;
        impl Format<u32> for Fails {
            fn line<'l>(&'l mut self, _: &'l u32) -> &'l [u8] {
                panic!("deliberate")
            }
        }
        let dropped = IntCounter::new("c", "c").unwrap();
        let queue = LineQueue::start("lines", io::sink(), Fails, dropped).unwrap();
        queue.push(1);
        assert!(!queue.flush(LONG));
        queue.push(2);
        assert_eq!(queue.dropped.get(), 1);
    }
}
