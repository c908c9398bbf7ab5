use super::*;

fn check(text: &str, new: &str, quoted: Option<&str>) {
    let split = split_text(text);
    assert_eq!((split.new.as_str(), split.quoted.as_deref()), (new, quoted), "{text}");
}

#[test]
fn what_mail_programs_put_under_an_answer_is_quoted() {
    for (introduction, quote) in [
        ("On Fri, Nov 20, 2026 at 10:15 AM Help <help@company.example> wrote:", "> Hello"),
        ("On Fri, Nov 20, 2026 at 10:15 AM Help\n<help@company.example> wrote:", "> Hello\n> there"),
        ("Am 20.11.2026 um 10:15 schrieb Help:", "> Hallo"),
        ("Le 20 nov. 2026 à 10:15, Help a écrit :", "> Bonjour"),
        ("El 20 nov 2026, a las 10:15, Help escribió:", "> Hola"),
        ("-----Original Message-----", "From: Help\nSent: today\n\nHello"),
        ("----- Ursprüngliche Nachricht -----", "Von: Help"),
        (
            "________________________________",
            "From: Help <h@c.example>\nSent: Friday\nTo: Ann\nSubject: Order\n\nHello",
        ),
        ("*Von:* Help", "*Gesendet:* Freitag\n*An:* Ann\n*Betreff:* x"),
        ("2026-11-20 10:15 Help wrote:", "not marked"),
    ] {
        let history = format!("{introduction}\n{quote}");
        check(&format!("Thank you!\n\n{history}\n"), "Thank you!", Some(&history));
    }
}

#[test]
fn an_answer_below_the_quote_is_new() {
    check("On 20 Nov 2026 Help wrote:\n> Shall we?\n\nYes.", "Yes.", Some("On 20 Nov 2026 Help wrote:\n> Shall we?"));
    check("> Shall we?\nYes.", "Yes.", Some("> Shall we?"));
}

#[test]
fn answers_between_the_lines_keep_the_lines() {
    let text = "On 20 Nov 2026 Help wrote:\n> Size?\nLarge.\n> Colour?\nBlue.";
    check(text, text, None);
}

#[test]
fn what_is_not_old_is_new() {
    for text in [
        "From: now on I want invoices.",
        "On the way I wrote: a letter",
        "He wrote: nothing",
        "-- \nAnn",
        "Look:\n---------- Forwarded message ---------\nFrom: Shop <s@shop.example>\nDate: Fri\nSubject: x\n\nText",
        "> only a quote",
        "",
    ] {
        check(text, text.trim(), None);
    }
}

#[test]
fn html_is_separated_at_the_marks_of_mail_programs() {
    let gmail = "<div>Thanks</div><div class=\"gmail_quote\"><div class=gmail_attr>On Fri Help wrote:<br></div>\
                 <blockquote>Hello</blockquote></div>";
    let split = split_html(gmail);
    assert_eq!((split.new.as_str(), split.quoted.as_deref()), ("Thanks", Some("On Fri Help wrote:\n\n> Hello")));
    let outlook =
        "<p>Thanks</p><hr><div id=\"divRplyFwdMsg\"><b>From:</b> Help<br><b>Sent:</b> Friday</div><div>Hello</div>";
    let split = split_html(outlook);
    assert_eq!((split.new.as_str(), split.quoted.as_deref()), ("Thanks", Some("From: Help\nSent: Friday\nHello")));
    let forward = "<div>See</div><div class=\"gmail_quote\">---------- Forwarded message ---------<br>Text</div>";
    assert_eq!(split_html(forward).quoted, None);
}
