//! What goes through: a service that sends, takes or echoes, and visitors that time it.

use anyhow::{Context, Result, ensure};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What a visitor asks for: so many bytes down, so many up, or an echo.
const DOWN: u8 = b'd';
const UP: u8 = b'u';
const ECHO: u8 = b'e';
/// Bytes that are read or written at once.
const PIECE: usize = 128 << 10;
const MIB: f64 = (1 << 20) as f64;
/// Bytes of one run of echoes, and the pause between two.
const KEYS: usize = 300;
const PAUSE: Duration = Duration::from_millis(2);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Listens until the process ends.
pub(crate) struct Service {
    /// Where.
    pub(crate) address: SocketAddr,
}

impl Service {
    /// On a free port.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                // A visitor that leaves early is done.
                thread::spawn(move || serve(visitor).ok());
            }
        });
        Ok(Self { address })
    }
}

fn serve(mut visitor: TcpStream) -> std::io::Result<()> {
    visitor.set_nodelay(true)?;
    let (mut order, mut piece) = ([0; 9], vec![7; PIECE]);
    visitor.read_exact(&mut order)?;
    let [what, length @ ..] = order;
    let mut left = u64::from_be_bytes(length);
    match what {
        DOWN => {
            while left > 0 {
                let some = (left as usize).min(PIECE);
                visitor.write_all(&piece[..some])?;
                left -= some as u64;
            }
        }
        UP => {
            while left > 0 {
                left -= visitor.read(&mut piece)?.max(1) as u64;
            }
            visitor.write_all(b"!")?;
        }
        _ => loop {
            let came = visitor.read(&mut piece)?;
            if came == 0 {
                return Ok(());
            }
            visitor.write_all(&piece[..came])?;
        },
    }
    Ok(())
}

fn visit(at: SocketAddr, what: u8, length: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut order = vec![what];
    order.extend((length as u64).to_be_bytes());
    stream.write_all(&order)?;
    Ok(stream)
}

/// MiB a second.
pub(crate) fn down(at: SocketAddr, bytes: usize) -> Result<f64> {
    let begun = Instant::now();
    let mut stream = visit(at, DOWN, bytes)?;
    let (mut piece, mut came) = (vec![0; PIECE], 0);
    while came < bytes {
        let some = stream.read(&mut piece)?;
        ensure!(some > 0, "the download ended after {came} bytes");
        came += some;
    }
    Ok(bytes as f64 / MIB / begun.elapsed().as_secs_f64())
}

/// MiB a second, until the service has all.
pub(crate) fn up(at: SocketAddr, bytes: usize) -> Result<f64> {
    let begun = Instant::now();
    let mut stream = visit(at, UP, bytes)?;
    let piece = vec![7; PIECE];
    let mut left = bytes;
    while left > 0 {
        let some = left.min(PIECE);
        stream.write_all(&piece[..some])?;
        left -= some;
    }
    stream.read_exact(&mut [0]).context("not all arrived")?;
    Ok(bytes as f64 / MIB / begun.elapsed().as_secs_f64())
}

/// Microseconds.
pub(crate) fn first_byte(at: SocketAddr) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut stream = visit(at, ECHO, 0)?;
    Ok(vec![press(&mut stream).map(|_| begun.elapsed().as_secs_f64() * 1e6)?])
}

/// Microseconds a byte: the median, and the 99th percentile.
pub(crate) fn echo(at: SocketAddr) -> Result<Vec<f64>> {
    let mut stream = visit(at, ECHO, 0)?;
    let mut times = Vec::with_capacity(KEYS);
    for _ in 0..KEYS {
        times.push(press(&mut stream)?);
        thread::sleep(PAUSE);
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![times[KEYS / 2], times[KEYS * 99 / 100]])
}

/// Microseconds.
fn press(stream: &mut TcpStream) -> Result<f64> {
    let begun = Instant::now();
    stream.write_all(b"k")?;
    stream.read_exact(&mut [0])?;
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}

/// A download that goes on until it is dropped.
pub(crate) struct Bulk {
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Bulk {
    /// Returns once bytes flow.
    pub(crate) fn start(at: SocketAddr) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let mut stream = visit(at, DOWN, usize::MAX >> 1)?;
        stream.read_exact(&mut [0; PIECE])?;
        let ends = over.clone();
        let reader = thread::spawn(move || {
            let mut piece = vec![0; PIECE];
            while !ends.load(Ordering::Relaxed) && stream.read(&mut piece).is_ok_and(|some| some > 0) {}
        });
        Ok(Self { over, reader: Some(reader) })
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It panics nowhere.
        let _ = self.reader.take().map(JoinHandle::join);
    }
}
