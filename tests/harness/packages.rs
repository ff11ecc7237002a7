//! A fake package index (PEP 503) with four made-up packages, on loopback.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Name, version and dependencies. The newest `horizon` cannot be installed, because its dependency does not exist.
const PACKAGES: [(&str, &str, &str); 4] = [
    ("sunrise", "1.0", ""),
    ("sunrise", "1.2", "Requires-Dist: horizon>=2\n"),
    ("horizon", "2.1", ""),
    ("horizon", "3.0", "Requires-Dist: nowhere-to-be-had\n"),
];

/// A running index; stops on drop.
pub struct PackageIndex {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

type Pages = BTreeMap<String, (&'static str, Vec<u8>)>;

impl PackageIndex {
    /// Starts one with `sunrise` 1.0 and 1.2. Version 1.2 needs `horizon`, of which 2.1 can be installed.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, pages) = (Arc::clone(&is_over), Arc::new(pages()));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let pages = Arc::clone(&pages);
                // Clients may disconnect at any time; they report the error themselves.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &pages)));
            }
        });
        Ok(Self { address, is_over })
    }

    /// The URL for `python.indexUrl`.
    pub fn url(&self) -> String {
        format!("http://{}/simple", self.address)
    }
}

impl Drop for PackageIndex {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Stops the accept loop.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, pages: &Pages) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, kind, body) = match pages.get(path.trim_end_matches('/')) {
        Some((kind, body)) => ("200 OK", *kind, body.as_slice()),
        None => ("404 Not Found", "text/plain", &b""[..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}

fn pages() -> Pages {
    let mut pages = Pages::new();
    for (name, version, needs) in PACKAGES {
        let file = format!("{name}-{version}-py3-none-any.whl");
        let wheel = wheel(name, version, needs);
        let hash = crate::registry::digest(&wheel).replace(':', "=");
        let page = pages
            .entry(format!("/simple/{name}"))
            .or_insert(("text/html", Vec::new()));
        page.1
            .extend_from_slice(format!("<a href=\"/files/{file}#{hash}\">{file}</a>\n").as_bytes());
        pages.insert(format!("/files/{file}"), ("application/zip", wheel));
    }
    pages
}

/// A wheel (PEP 427) with one module.
fn wheel(name: &str, version: &str, needs: &str) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    let files = [
        (format!("{name}.py"), format!("VERSION = \"{version}\"\n")),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: cnbi-tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ];
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let record = format!("{},,\n{info}/RECORD,,\n", names.join(",,\n"));
    let record = (format!("{info}/RECORD"), record);
    let files: Vec<_> = files.into_iter().chain([record]).collect();
    zip(&files)
}

/// A ZIP archive without compression (APPNOTE.TXT 4.3).
fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        // Version 2.0, no flags, stored, 1980-01-01 at 00:00.
        let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        about.extend(crc.sum().to_le_bytes());
        about.extend(size(text.len()));
        about.extend(size(text.len()));
        about.extend(&size(name.len())[..2]);
        about.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(size(archive.len()));
        directory.extend(name.as_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&about);
        archive.extend(name.as_bytes());
        archive.extend(text.as_bytes());
    }
    let (begin, count) = (archive.len(), size(files.len()));
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\x00\x00\x00\x00");
    archive.extend(&count[..2]);
    archive.extend(&count[..2]);
    archive.extend(size(directory.len()));
    archive.extend(size(begin));
    archive.extend([0, 0]);
    archive
}

/// Sizes are a few hundred bytes.
fn size(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}
