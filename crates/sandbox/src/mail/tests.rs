use std::net::SocketAddr;

use bytes::Bytes;
use runtime::Shutdown;

use super::{ConsumerMail, MailFile, MailSim, OutgoingState};
use crate::testing::{self, PATIENCE};

async fn server(domain: &str) -> MailSim {
    MailSim::start(testing::listener().await, domain, Shutdown::new())
}

fn mail() -> ConsumerMail {
    ConsumerMail {
        from: "ann@consumer.example".to_owned(),
        from_name: "Ann Ëxample".to_owned(),
        to: "help@company.com".to_owned(),
        subject: "Grüße, und eine lange Frage zu meiner Bestellung\r\nBcc: eve@company.com".to_owned(),
        text: "Wo ist sie?\r\n.\r\n..".to_owned(),
        files: vec![MailFile {
            name: "a\"b.txt".to_owned(),
            media_type: "text/plain".to_owned(),
            bytes: Bytes::from_static(b"hello"),
        }],
        in_reply_to: Some("first@company.com".to_owned()),
    }
}

/// Two of them, each the other's company.
#[tokio::test]
async fn mail_goes_both_ways_and_comes_back() {
    let (consumers, company) = (server("consumer.example").await, server("company.com").await);
    let id = consumers.consumer_sends(&mail());
    consumers.set_company(company.address());
    let got = company.until(PATIENCE, |sim| sim.delivered().pop()).await.expect("it arrives");
    assert_eq!((got.message_id.as_str(), got.in_reply_to.as_deref()), (id.as_str(), Some("first@company.com")));
    assert_eq!(got.subject, "Grüße, und eine lange Frage zu meiner BestellungBcc: eve@company.com");
    assert_eq!(
        (got.from.as_str(), got.envelope_from.as_str()),
        ("Ann Ëxample <ann@consumer.example>", "ann@consumer.example")
    );
    assert_eq!((got.text.as_str(), got.files.len()), ("Wo ist sie?\r\n.\r\n..", 1));

    company.set_company(consumers.address());
    company.bounce(&got.id).expect("it has a sender");
    let report = consumers.until(PATIENCE, |sim| sim.delivered().pop()).await.expect("it comes back");
    assert_eq!(report.envelope_from, "");
    assert!(String::from_utf8_lossy(&report.raw).contains(&format!("Message-ID: <{id}>")));
    assert!(consumers.bounce(&report.id).is_err(), "a report is not returned");
    assert!(company.delivered()[0].bounced);
}

#[tokio::test]
async fn refusals_are_told_and_later_is_tried_again() {
    let (consumers, company) = (server("consumer.example").await, server("company.com").await);
    consumers.set_company(company.address());
    company.faults().no_such_user(1);
    consumers.consumer_sends(&mail());
    let refused =
        |sim: &MailSim| sim.brought().pop().map(|mail| mail.state).filter(|state| *state != OutgoingState::Waiting);
    assert_eq!(consumers.until(PATIENCE, refused).await, Some(OutgoingState::Refused(550)));
    company.faults().later(1);
    let nowhere: SocketAddr = "127.0.0.1:1".parse().expect("an address");
    consumers.set_company(nowhere);
    consumers.consumer_sends(&mail());
    consumers.set_company(company.address());
    assert_eq!(consumers.until(PATIENCE, refused).await, Some(OutgoingState::Accepted));
    let elsewhere = ConsumerMail { to: "help@elsewhere.example".to_owned(), ..mail() };
    consumers.consumer_sends(&elsewhere);
    assert_eq!(consumers.until(PATIENCE, refused).await, Some(OutgoingState::Refused(550)));
}
