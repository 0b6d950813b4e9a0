//! RSA signatures and nothing around them, by the library that the exporter uses.

use std::io::Write;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;

use crate::Fallible;

/// Writes a new key of 2048 bits to stdout: PKCS #8, as DER.
pub fn key() -> Fallible<()> {
    let pair = KeyPair::generate(KeySize::Rsa2048)?;
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)?;
    Ok(std::io::stdout().write_all(der.as_ref())?)
}

/// Signs so many times, another text each; milliseconds of one thread per signature.
pub fn sign(key: &[u8], times: u32) -> Fallible<()> {
    let pair = KeyPair::from_pkcs8(key)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    let began = cpu_ns()?;
    for time in 0..times {
        let text = format!("2026-01-01T00:00:00+00:00|merchant-secret-of-the-rig|{{\"accountNo\":\"{time}\"}}");
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)?;
    }
    println!("{}", (cpu_ns()? - began) as f64 / 1e6 / f64::from(times.max(1)));
    Ok(())
}

/// The scheduler's own count of this thread.
fn cpu_ns() -> Fallible<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}
