//! What is done with any bytes: by the fuzzer (`make fuzz`), and with what it found by the tests.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};

use email::listen::{ListenConfig, Refusals, SmtpLimits, Store, converse};
use email::read::{Context, Envelope, Limits, read, read_status};
use model::Private;
use runtime::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads a mail. The limits are small, so that small inputs reach them.
pub(crate) fn mail(data: &[u8]) {
    let limits = Limits {
        header_bytes: 4096,
        text_bytes: 4096,
        all_text_bytes: 8192,
        report_bytes: 4096,
        parts: 20,
        depth: 5,
        attachments: 5,
        attachment_bytes: 8192,
        addresses: 5,
        references: 5,
        memory_bytes: 1 << 20,
        spool: std::env::temp_dir(),
    };
    let envelope = data.first().filter(|byte| **byte % 2 == 0).map(|byte| Envelope {
        sender: (byte % 4 == 0).then(|| Private::new("ann@consumer.example".to_owned())),
        recipients: vec![Private::new("bounces+t0ken@company.com".to_owned())],
    });
    let context = Context {
        envelope,
        domains: vec!["company.com".to_owned()],
        bounce_address: Some("bounces@company.com".to_owned()),
    };
    let mail = read(data, &context, &limits).expect("memory can be read");
    assert!(mail.attachments.len() <= limits.attachments && mail.to.len() <= limits.addresses);
    assert!(mail.thread.answers.len() <= limits.references);
    let attached: u64 = mail.attachments.iter().map(|file| file.size).sum();
    assert!(attached <= limits.attachment_bytes);
    for file in &mail.attachments {
        let name = file.name.expose();
        assert!(
            !name.is_empty() && name.len() <= 160 && !name.contains(['/', '\\', '\0', '\n']) && !name.starts_with('.')
        );
    }
    assert!(!mail.subject.expose().contains(['\r', '\n']));
    let printed = format!("{mail:?}");
    assert!(!printed.contains("consumer.example"), "{printed}");
}

/// Reads what a server says about a mail.
pub(crate) fn status(data: &[u8]) {
    let reports = read_status(data);
    assert!(reports.len() <= 100);
    for report in reports {
        assert!(report.recipient.is_some());
        let told = report.reason.map(|reason| reason.message).unwrap_or_default();
        assert!(told.len() < 200 && !told.contains('@'), "{told}");
    }
}

/// Holds an SMTP conversation in which the client says this and hangs up.
pub(crate) fn smtp(data: &[u8]) {
    let stored: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&stored);
    let store = Store::new(move |received| {
        let mut content = Vec::new();
        let read = received.open().and_then(|mut input| input.read_to_end(&mut content));
        assert!(read.is_ok() && content.len() as u64 == received.size && received.size <= 8192);
        assert!((1..=3).contains(&received.envelope.recipients.len()));
        keep.lock().expect("nobody panics here").push(content);
        async { Ok(()) }
    });
    let config = ListenConfig {
        name: "bridge".to_owned(),
        allowed: Vec::new(),
        domains: vec!["company.com".to_owned()],
        bounce_address: None,
        refusals: Refusals::new("mail"),
        tls: None,
        require_tls: false,
        spool: std::env::temp_dir(),
        limits: SmtpLimits { mail_bytes: 8192, memory_bytes: 8192, recipients: 3, ..SmtpLimits::default() },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut said = Vec::new();
    let stream = Client { rest: data, said: &mut said, piece: data.len() % 7 + 1 };
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // A client that hangs up ends the conversation with an error or without one.
    let _ended = runtime.block_on(converse(stream, peer, &config, &store, &Shutdown::new()));
    let said = String::from_utf8(said).expect("answers are text");
    assert!(said.starts_with("220 bridge ESMTP\r\n"));
    let accepted = said.lines().filter(|line| *line == "250 2.0.0 Stored").count();
    let stored = stored.lock().expect("nobody panics here");
    assert_eq!(accepted, stored.len(), "what is accepted is stored, and what is stored is accepted");
    let chunked = data.windows(4).any(|word| word.eq_ignore_ascii_case(b"BDAT"));
    for content in stored.iter().filter(|_| !chunked) {
        let lines = String::from_utf8_lossy(content).replace("\r\n", "");
        assert!(!lines.contains(['\r', '\n']), "a line that two servers end differently");
    }
}

/// A client that says what it has to say in small pieces, and does not listen.
struct Client<'a> {
    rest: &'a [u8],
    said: &'a mut Vec<u8>,
    piece: usize,
}

impl AsyncRead for Client<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Poller<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, later) = self.rest.split_at(self.rest.len().min(out.remaining()).min(self.piece * 16));
        out.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Poller<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.said.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
