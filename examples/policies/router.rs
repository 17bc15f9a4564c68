//! A router in Rust, with nothing but its standard library: `rustc -O router.rs`, then policy = "exec:./router".
//!
//! The least queue of prompts among the machines that prefill, the most free blocks among those that decode.
use std::io::{self, BufRead, Write};

/// The text behind `"key":` in one machine's object, up to the next comma or brace.
fn field<'a>(machine: &'a str, key: &str) -> &'a str {
    let mark = format!("\"{}\":", key);
    let start = machine.find(&mark).expect("a field of an offer") + mark.len();
    let rest = &machine[start..];
    rest[..rest.find([',', '}']).unwrap_or(rest.len())].trim_matches('"')
}

fn number(machine: &str, key: &str) -> i64 {
    field(machine, key).parse().expect("a whole number")
}

fn main() {
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line.expect("a line");
        let offers = &line[line.find("\"machines\":[").expect("machines") + 12..];
        let machines: Vec<&str> = offers.split('{').skip(1).collect();
        let prefill = machines.iter().filter(|m| field(m, "pool") != "decode").min_by_key(|m| number(m, "pending_tokens"));
        let decode = machines.iter().filter(|m| field(m, "pool") != "prefill").min_by_key(|m| -number(m, "free_blocks"));
        match (prefill, decode) {
            (Some(p), Some(d)) => {
                writeln!(out, "{{\"prefill\":{},\"decode\":{}}}", number(p, "machine"), number(d, "machine"))
            }
            _ => writeln!(out, "null"),
        }
        .and_then(|_| out.flush())
        .expect("somebody reads");
    }
}
