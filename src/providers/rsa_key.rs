//! Finds the RSA key in a text, or says what is there instead without showing any of it.
//!
//! People paste keys as PEM of any line width, with indentation, CRLF or OpenSSL's bag attributes, or
//! as one line of base64. What the text holds is decided by the DER inside, never by its label.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Sizes that are accepted: below, the key can be broken; above, a signature takes too long.
const BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The key in a text.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// An RSA key of an acceptable size, as far as its encoding tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// PKCS#8, RFC 5958.
    PrivatePkcs8,
    /// PKCS#1, RFC 8017 appendix A.1.2.
    PrivatePkcs1,
    /// `SubjectPublicKeyInfo` or PKCS#1.
    Public,
}

impl Kind {
    /// Its name in a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PrivatePkcs8 | Self::PrivatePkcs1 => "a private key",
            Self::Public => "a public key",
        }
    }
}

/// What was found instead of an RSA key; never the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// Something with a name.
    Named(&'static str),
    /// An RSA key with a modulus of so many bits.
    Size(usize),
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Size(bits) => {
                write!(f, "an RSA key of {bits} bits, where {} to {} are accepted", BITS.start(), BITS.end())
            }
        }
    }
}

/// Reads the one key in `text`.
pub(super) fn find(text: &str) -> Result<Found, Other> {
    let der = if text.contains("-----BEGIN ") { pem(text)? } else { base64(text.lines())? };
    let (kind, bits) = classify(&der).unwrap_or(Err(Other::Named("something that is no key")))?;
    if !BITS.contains(&bits) {
        return Err(Other::Size(bits));
    }
    Ok(Found { kind, der })
}

/// The content of the one PEM block.
fn pem(text: &str) -> Result<Zeroizing<Vec<u8>>, Other> {
    let mut lines = text.lines().map(str::trim);
    let mut block = None;
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let mut ended = false;
        let body: Vec<_> = lines
            .by_ref()
            .take_while(|line| {
                ended = line.starts_with("-----END ");
                !ended
            })
            .collect();
        if !ended {
            return Err(Other::Named("a PEM block without an end"));
        }
        // OpenSSL writes the parameters of a curve before the key
        if !label.ends_with(" PARAMETERS") && block.replace((label, body)).is_some() {
            return Err(Other::Named("more than one key or certificate in one file"));
        }
    }
    let (label, body) = block.ok_or(Other::Named("a damaged PEM block"))?;
    if label == "OPENSSH PRIVATE KEY" {
        return Err(Other::Named("an OpenSSH private key"));
    }
    if body.iter().any(|line| line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED")) {
        return Err(Other::Named("an encrypted private key"));
    }
    base64(body.into_iter())
}

fn base64<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Zeroizing<Vec<u8>>, Other> {
    let lines: Vec<_> = lines.map(str::trim).collect();
    let mut joined = Zeroizing::new(String::with_capacity(lines.iter().map(|line| line.len()).sum()));
    for line in lines {
        joined.push_str(line);
    }
    if joined.is_empty() {
        return Err(Other::Named("nothing"));
    }
    let der = BASE64_STANDARD.decode(joined.as_bytes());
    der.map(Zeroizing::new).map_err(|_| Other::Named("a text that is neither PEM nor base64"))
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// Other algorithms that people have keys of: object identifier, private key, public key.
const ALGORITHMS: &[(&[u8], &str, &str)] = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "an RSA-PSS private key", "an RSA-PSS public key"),
    (b"\x2a\x86\x48\xce\x3d\x02\x01", "an EC private key", "an EC public key"),
    (b"\x2b\x65\x70", "an Ed25519 private key", "an Ed25519 public key"),
    (b"\x2b\x65\x71", "an Ed448 private key", "an Ed448 public key"),
    (b"\x2a\x86\x48\xce\x38\x04\x01", "a DSA private key", "a DSA public key"),
];

/// What a DER structure is, by its first elements; the size is that of the modulus.
fn classify(der: &[u8]) -> Option<Result<(Kind, usize), Other>> {
    let other = |name| Some(Err(Other::Named(name)));
    let (outer, _) = inside(der, SEQUENCE)?;
    let (first_tag, first, rest) = element(outer)?;
    let Some((tag, second, rest)) = element(rest) else { return other("something that is no key") };
    match (first_tag, tag) {
        (INTEGER, SEQUENCE) => {
            let (oid, _) = inside(second, OID)?;
            if oid != RSA {
                return other(algorithm(oid).map_or("a private key that is not RSA", |(_, private, _)| private));
            }
            let (key, _) = inside(rest, OCTET_STRING)?;
            let (numbers, _) = inside(key, SEQUENCE)?;
            let (_, _, numbers) = element(numbers)?;
            Some(Ok((Kind::PrivatePkcs8, bits(inside(numbers, INTEGER)?.0))))
        }
        (INTEGER, OCTET_STRING) => other("an EC private key"),
        (INTEGER, INTEGER) if rest.is_empty() => Some(Ok((Kind::Public, bits(first)))),
        (INTEGER, INTEGER) if elements(rest) < 7 => other("a private key that is not RSA"),
        (INTEGER, INTEGER) => Some(Ok((Kind::PrivatePkcs1, bits(second)))),
        (SEQUENCE, BIT_STRING) => {
            let (oid, _) = inside(first, OID)?;
            if oid != RSA {
                return other(algorithm(oid).map_or("a public key that is not RSA", |(_, _, public)| public));
            }
            let (numbers, _) = inside(second.strip_prefix(&[0])?, SEQUENCE)?;
            Some(Ok((Kind::Public, bits(inside(numbers, INTEGER)?.0))))
        }
        (SEQUENCE, OCTET_STRING) => other("an encrypted private key"),
        (SEQUENCE, SEQUENCE) => match element(first)? {
            (VERSION, ..) => other("a certificate"),
            (INTEGER, ..) => other("a certificate request"),
            _ => None,
        },
        _ => None,
    }
}

fn algorithm(oid: &[u8]) -> Option<&'static (&'static [u8], &'static str, &'static str)> {
    ALGORITHMS.iter().find(|(known, ..)| *known == oid)
}

/// The first DER element: its tag, its content, and what follows it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of the first element, which must have this tag, and what follows it.
fn inside(input: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    element(input).filter(|(tag, ..)| *tag == expected).map(|(_, content, rest)| (content, rest))
}

fn elements(mut input: &[u8]) -> usize {
    let mut count = 0;
    while let Some((.., rest)) = element(input) {
        count += 1;
        input = rest;
    }
    count
}

/// The length of a DER integer's value.
fn bits(integer: &[u8]) -> usize {
    let start = integer.iter().position(|byte| *byte != 0).unwrap_or(integer.len());
    let digits = &integer[start..];
    digits.len() * 8 - digits.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn text(name: &str) -> String {
        String::from_utf8(vector(name)).unwrap()
    }

    fn found(text: &str) -> Result<Kind, String> {
        find(text).map(|found| found.kind).map_err(|other| other.to_string())
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], &length[..], content].concat()
    }

    fn base64_of(der: &[u8]) -> String {
        BASE64_STANDARD.encode(der)
    }

    fn armoured(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64_of(der))
    }

    fn modulus(bits: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= (8 - bits % 8) % 8;
        tlv(INTEGER, &[&[0], &bytes[..]].concat())
    }

    #[test]
    fn every_way_to_write_the_key_is_read() {
        let pem = text("key.pkcs8.pem");
        let one_line = armoured("PRIVATE KEY", &vector("key.pkcs8.der"));
        let wide =
            text("key.pkcs8.b64").as_bytes().chunks(76).map(|c| String::from_utf8_lossy(c) + "\n").collect::<String>();
        for (name, text) in [
            ("as OpenSSL writes it", pem.clone()),
            ("CRLF", pem.replace('\n', "\r\n")),
            ("no final newline", pem.trim_end().to_owned()),
            ("indented", format!("    {}\n", pem.trim_end().replace('\n', "\n    "))),
            (
                "bag attributes",
                format!("Bag Attributes\n    friendlyName: key\nKey Attributes: <No Attributes>\n{pem}"),
            ),
            ("body on one line", one_line),
            ("bare base64", text("key.pkcs8.b64")),
            ("bare base64, 76 columns", wide),
        ] {
            let found = find(&text).unwrap_or_else(|other| panic!("{name}: {other}"));
            assert_eq!((found.kind, &**found.der), (Kind::PrivatePkcs8, &*vector("key.pkcs8.der")), "{name}");
        }
        assert_eq!(found(&text("key.pkcs1.pem")), Ok(Kind::PrivatePkcs1));
        assert_eq!(found(&base64_of(&vector("key.pkcs1.der"))), Ok(Kind::PrivatePkcs1));
        assert_eq!(found(&text("key.pub.pem")), Ok(Kind::Public));
        assert_eq!(found(&text("key.pub.b64")), Ok(Kind::Public));
    }

    #[test]
    fn everything_else_is_refused_by_its_name() {
        let pem = text("key.pkcs8.pem");
        let oid = |bytes: &[u8]| tlv(SEQUENCE, &tlv(OID, bytes));
        let seq = |parts: &[Vec<u8>]| tlv(SEQUENCE, &parts.concat());
        let pkcs8 = |bytes| seq(&[tlv(INTEGER, &[0]), oid(bytes), tlv(OCTET_STRING, &[1])]);
        let spki = |bytes| seq(&[oid(bytes), tlv(BIT_STRING, &[0, 1])]);
        let integers = |count| seq(&vec![modulus(2048); count]);
        for (text, expected) in [
            (String::new(), "nothing"),
            ("hunter2!".to_owned(), "a text that is neither PEM nor base64"),
            ("aHVudGVyMg==".to_owned(), "something that is no key"),
            (pem.replace("END", "STOP"), "a PEM block without an end"),
            (pem.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY"), "a damaged PEM block"),
            (pem.repeat(2), "more than one key or certificate in one file"),
            (pem.clone() + &text("key.pub.pem"), "more than one key or certificate in one file"),
            (armoured("OPENSSH PRIVATE KEY", b"openssh-key-v1"), "an OpenSSH private key"),
            (
                text("key.pkcs1.pem").replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1),
                "an encrypted private key",
            ),
            (
                armoured("ENCRYPTED PRIVATE KEY", &seq(&[oid(b"\x2a"), tlv(OCTET_STRING, &[1])])),
                "an encrypted private key",
            ),
            (base64_of(&pkcs8(ALGORITHMS[0].0)), "an RSA-PSS private key"),
            (base64_of(&pkcs8(ALGORITHMS[1].0)), "an EC private key"),
            (base64_of(&pkcs8(ALGORITHMS[2].0)), "an Ed25519 private key"),
            (base64_of(&pkcs8(b"\x2a\x03")), "a private key that is not RSA"),
            (
                armoured("EC PARAMETERS", &[6, 0])
                    + &armoured("EC PRIVATE KEY", &seq(&[tlv(INTEGER, &[1]), tlv(OCTET_STRING, &[1])])),
                "an EC private key",
            ),
            (armoured("DSA PRIVATE KEY", &integers(6)), "a private key that is not RSA"),
            (base64_of(&spki(ALGORITHMS[1].0)), "an EC public key"),
            (base64_of(&spki(ALGORITHMS[2].0)), "an Ed25519 public key"),
            (base64_of(&spki(b"\x2a\x03")), "a public key that is not RSA"),
            (armoured("CERTIFICATE", &seq(&[seq(&[tlv(VERSION, &[2])]), oid(b"\x2a")])), "a certificate"),
            (
                armoured("CERTIFICATE REQUEST", &seq(&[seq(&[tlv(INTEGER, &[0])]), oid(b"\x2a")])),
                "a certificate request",
            ),
        ] {
            assert_eq!(found(&text), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(found(&base64_of(&integers(9))), Ok(Kind::PrivatePkcs1));
    }

    #[test]
    fn the_size_is_told_to_the_bit() {
        let sized = |bits| found(&base64_of(&tlv(SEQUENCE, &[modulus(bits), modulus(17)].concat())));
        for bits in [2048, 2049, 3072, 4096] {
            assert_eq!(sized(bits), Ok(Kind::Public), "{bits}");
        }
        for bits in [512, 1024, 2047, 4097, 16384] {
            assert_eq!(sized(bits), Err(format!("an RSA key of {bits} bits, where 2048 to 4096 are accepted")));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64), text in ".{0,80}") {
            let _ = find(&base64_of(&bytes));
            let _ = find(&base64_of(&tlv(SEQUENCE, &bytes)));
            let _ = find(&text);
        }
    }
}
