//! A model of a client that logs in by NTLM, signs all that it sends and checks all that it gets, as clients of Lync do.
//! Written out with its own arithmetic, so that it is not the server's mirror.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use muster::sip::header::AuthParams;
use rc4::{Rc4, StreamCipher as _};

use super::Heard;

/// What a client asks of the flags in a challenge, or it gives up.
const WANTED: u32 = 0x4098_8251;
/// What it can do itself.
const OWN: u32 = 0x6298_8255;

/// A client's side of a login by NTLM.
#[derive(Debug, Default)]
pub struct Ntlm {
    /// As it is typed: `alice@example.com`, or `EXAMPLE\alice`.
    login: String,
    /// What is signed with; none before the login, and while it begins anew.
    signs: Option<Association>,
    /// What is checked with.
    checks: Option<Association>,
    /// What was checked with before: a refused login leaves it in force.
    before: Option<Association>,
    /// How the next message is spoilt.
    pub flaw: Flaw,
    logins: u8,
}

/// How a message is spoilt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flaw {
    #[default]
    None,
    /// The signature is of another message.
    Wrong,
    /// There is none.
    Missing,
    /// It has the number of the one before.
    Replayed,
}

#[derive(Clone, Debug)]
struct Association {
    session_key: [u8; 16],
    opaque: String,
    realm: String,
    target: String,
    /// The number that was used last.
    number: u32,
}

/// What a challenge asks, as a client reads it.
struct Question {
    challenge: [u8; 8],
    flags: u32,
    target_info: Vec<u8>,
}

impl Ntlm {
    pub fn new(login: &str) -> Ntlm {
        Ntlm {
            login: login.to_owned(),
            ..Ntlm::default()
        }
    }

    /// From now on nothing is signed until there is a new association; what comes is still checked.
    pub fn begin_anew(&mut self) {
        self.signs = None;
    }

    /// A new connection has no association.
    pub fn disconnect(&mut self) {
        (self.signs, self.checks, self.before) = (None, None, None);
    }

    /// What answers the NTLM line of a 401: an empty token to the offer, and to the question the proof. From then on all is
    /// signed.
    pub fn authorization(&mut self, unauthorized: &Heard, password: &str) -> Option<String> {
        let lines = unauthorized.all("WWW-Authenticate");
        let line = lines.filter(|line| line.starts_with("NTLM ")).last()?;
        let params = AuthParams::parse(line).ok()?;
        let (realm, target) = (params.get("realm")?, params.get("targetname")?);
        // A client takes `version` without quotes only.
        assert_eq!(params.raw("version"), Some("4"), "{line}");
        let start = format!("NTLM qop=\"auth\", realm=\"{realm}\", targetname=\"{target}\"");
        let Some(token) = params.get("gssapi-data") else {
            return Some(format!("{start}, gssapi-data=\"\", version=4"));
        };
        let opaque = params.get("opaque")?;
        let question = Question::read(&STANDARD.decode(&*token).ok()?);
        self.logins += 1;
        let session_key = [0x40 + self.logins; 16];
        let token = question.answer(&self.login, password, &session_key);
        let association = Association {
            session_key,
            opaque: opaque.to_string(),
            realm: realm.to_string(),
            target: target.to_string(),
            number: 0,
        };
        self.signs = Some(association.clone());
        let old = self.checks.replace(association);
        // One that the server has never signed with was refused, and is in force nowhere.
        if old.as_ref().is_some_and(|old| old.number > 0) {
            self.before = old;
        }
        Some(format!(
            "{start}, opaque=\"{opaque}\", gssapi-data=\"{}\", version=4",
            STANDARD.encode(token)
        ))
    }

    /// Adds the signature to a whole message.
    pub fn sign(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let flaw = core::mem::take(&mut self.flaw);
        let (Some(association), Some(heard)) = (&mut self.signs, Heard::split(&text)) else {
            return bytes.to_vec();
        };
        if flaw == Flaw::Missing {
            return bytes.to_vec();
        }
        if flaw != Flaw::Replayed {
            association.number += 1;
        }
        let num = association.number.to_string();
        let rand = format!("{:08x}", 0xc0ff_ee00 + association.number);
        let Association {
            session_key,
            opaque,
            realm,
            target,
            ..
        } = association;
        let mut signed = signed_text(&heard, [&rand, &num, realm, target]);
        if flaw == Flaw::Wrong {
            signed.push('x');
        }
        let response = signature(session_key, "client-to-server", &signed);
        let stamp = format!("crand=\"{rand}\", cnum=\"{num}\", response=\"{response}\"");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole message");
        let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        // The answer to the question is signed in the same line.
        let login = |line: &&mut String| line.starts_with("Authorization: NTLM ");
        match lines.iter_mut().find(login) {
            Some(line) => line.push_str(&format!(", {stamp}")),
            None => lines.push(format!(
                "Authorization: NTLM qop=\"auth\", opaque=\"{opaque}\", realm=\"{realm}\", targetname=\"{target}\", {stamp}"
            )),
        }
        format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
    }

    /// Checks what the server has signed: all but provisional answers and challenges, with numbers that rise.
    pub fn check(&mut self, heard: &Heard) -> Result<(), String> {
        let refused =
            heard.method == "REGISTER" && heard.status.is_some_and(|status| status >= 300);
        if refused && heard.status == Some(503) && self.before.is_none() {
            // A logon that is shed, or comes when the server stops: it has nothing to sign with yet.
            return Ok(());
        }
        let checks = match &mut self.before {
            Some(before) if refused => Some(before),
            _ => self.checks.as_mut(),
        };
        let Some(association) = checks else {
            return Ok(());
        };
        let wrong = |what: &str| Err(format!("{what}:\n{}", heard.full()));
        let Some(info) = heard.header("Authentication-Info") else {
            return match heard.status {
                Some(100..=199 | 401) => Ok(()),
                _ => wrong("the server has not signed this"),
            };
        };
        let params = AuthParams::parse(info).map_err(|_| info.to_owned())?;
        let all = ["rspauth", "srand", "snum", "realm", "targetname", "opaque"];
        let [
            Some(given),
            Some(rand),
            Some(num),
            Some(realm),
            Some(target),
            Some(opaque),
        ] = all.map(|name| params.get(name))
        else {
            return wrong("the server's signature is not whole");
        };
        let signed = signed_text(heard, [&rand, &num, &realm, &target]);
        let expected = signature(&association.session_key, "server-to-client", &signed);
        if !params.is("NTLM") || opaque != association.opaque || given != expected {
            return wrong(&format!("the server's signature is wrong, of {signed}"));
        }
        match num.parse() {
            Ok(number) if number > association.number => association.number = number,
            _ => return wrong("the server's number does not rise"),
        }
        Ok(())
    }
}

impl Question {
    fn read(token: &[u8]) -> Question {
        let number = |at: usize| u32::from_le_bytes(token[at..at + 4].try_into().expect("four"));
        assert_eq!(
            (&token[..8], number(8)),
            (&b"NTLMSSP\0"[..], 2),
            "a challenge of NTLM"
        );
        let flags = number(20);
        assert_eq!(flags & WANTED, WANTED, "flags {flags:x}");
        let (length, offset) = (number(40) as usize & 0xffff, number(44) as usize);
        let target_info = token[offset..offset + length].to_vec();
        assert!(target_info.ends_with(&[0; 4]), "a list has an end");
        Question {
            challenge: token[24..32].try_into().expect("eight"),
            flags,
            target_info,
        }
    }

    fn answer(&self, login: &str, password: &str, session_key: &[u8; 16]) -> Vec<u8> {
        let (domain, user) = login.split_once('\\').unwrap_or(("", login));
        let hash = Md4::digest(utf16(password));
        let name = [utf16(&user.to_ascii_uppercase()), utf16(domain)].concat();
        let key = hmac(&hash, &name);
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend([0x11; 8]); // The time.
        blob.extend([0xaa; 8]); // A challenge of our own.
        blob.extend([0; 4]);
        blob.extend(&self.target_info);
        blob.extend([0; 4]);
        let proof = hmac(&key, &[&self.challenge[..], &blob].concat());
        let mut encrypted = *session_key;
        let mut cipher = rc4(&hmac(&key, &proof));
        cipher.apply_keystream(&mut encrypted);
        let fields = [
            (28, utf16(domain)),
            (36, utf16(user)),
            (44, utf16("host")),
            (12, vec![0; 24]),
            (20, [&proof[..], &blob].concat()),
            (52, encrypted.to_vec()),
        ];
        let mut token = b"NTLMSSP\0\x03\0\0\0".to_vec();
        token.resize(72, 0);
        token[60..64].copy_from_slice(&(self.flags & OWN).to_le_bytes());
        for (at, field) in fields {
            let length = u16::try_from(field.len()).expect("short").to_le_bytes();
            let offset = u32::try_from(token.len()).expect("short").to_le_bytes();
            token[at..at + 8].copy_from_slice(&[&length[..], &length, &offset].concat());
            token.extend(field);
        }
        token
    }
}

/// The text that a signature is of, found as SIPE does: by the first bracket, tag and comma of a line, quoted or not.
fn signed_text(heard: &Heard, [rand, num, realm, target]: [&str; 4]) -> String {
    fn part<'a>(value: &'a str, before: &str, after: char) -> &'a str {
        value.split_once(before).map_or("", |(_, rest)| {
            rest.split(after).next().expect("a first part")
        })
    }
    let line = |name| heard.header(name).unwrap_or("");
    let uri = |name| part(line(name), "<", '>');
    let tag = |name| part(line(name), ";tag=", ';');
    let identity = heard
        .header("P-Asserted-Identity")
        .or(heard.header("P-Preferred-Identity"))
        .unwrap_or("");
    let identity = |scheme: &str| {
        let mut uris = identity.split(',').map(|value| part(value, "<", '>'));
        uris.find(|uri| uri.starts_with(scheme)).unwrap_or("")
    };
    let (cseq, method) = heard
        .header("CSeq")
        .and_then(|value| value.split_once(' '))
        .unwrap_or_default();
    let mut text = String::new();
    for field in [
        "NTLM",
        rand,
        num,
        realm,
        target,
        heard.call_id(),
        cseq,
        method,
        uri("From"),
        tag("From"),
        uri("To"),
        tag("To"),
        identity("sip:"),
        identity("tel:"),
        heard.header("Expires").unwrap_or(""),
    ] {
        text.push_str(&format!("<{field}>"));
    }
    if let Some(status) = heard.status {
        text.push_str(&format!("<{status}>"));
    }
    text
}

fn signature(session_key: &[u8; 16], way: &str, text: &str) -> String {
    let key = |what: &str| {
        let magic = format!("session key to {way} {what} key magic constant\0");
        Md5::digest([&session_key[..], magic.as_bytes()].concat())
    };
    let number = 100u32.to_le_bytes();
    let mut sum = hmac(&key("signing"), &[&number[..], text.as_bytes()].concat());
    let sealing = Md5::digest([&key("sealing")[..], &number].concat());
    rc4(&sealing).apply_keystream(&mut sum[..8]);
    let sum: String = sum[..8].iter().map(|byte| format!("{byte:02X}")).collect();
    format!("01000000{sum}64000000")
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn rc4(key: &[u8]) -> Rc4 {
    <Rc4 as rc4::KeyInit>::new_from_slice(key).expect("a key of 16 bytes")
}
