//! The grammar of both formats, as far as an exporter may use it.

use std::collections::{BTreeMap, HashSet};

use super::{Exposition, Family, Sample};
use crate::exposition::Format;

/// Reads the text by the grammar of the format alone.
pub fn read(text: &str, format: Format) -> Result<Exposition, String> {
    let body = match format {
        Format::Text => text,
        Format::OpenMetrics(_) => text.strip_suffix("# EOF\n").ok_or("the text does not end with # EOF")?,
    };
    if body.contains('\r') {
        return Err("there is a carriage return".to_owned());
    }
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line is not complete".to_owned());
    }
    let mut reader = Reader { format, done: Exposition::default(), names: HashSet::new(), series: HashSet::new() };
    for (index, line) in body.lines().enumerate() {
        reader.line(line).map_err(|problem| format!("line {}: {problem}: {line}", index + 1))?;
    }
    for family in &reader.done.families {
        whole(family, format)?;
    }
    Ok(reader.done)
}

/// Names and values, in the order of the line.
type Labels = Vec<(String, String)>;

struct Reader {
    format: Format,
    done: Exposition,
    names: HashSet<String>,
    series: HashSet<(String, BTreeMap<String, String>)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        match line.strip_prefix('#') {
            Some(comment) => self.metadata(comment),
            None => self.sample(line),
        }
    }

    fn metadata(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.splitn(4, ' ');
        let (Some(""), Some(keyword), Some(name), Some(rest)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("not # KEYWORD name text".to_owned());
        };
        if !is_name(name, true) {
            return Err("not a name".to_owned());
        }
        if self.done.families.last().is_none_or(|family| family.name != name) {
            if !self.names.insert(name.to_owned()) {
                return Err("the family was there before".to_owned());
            }
            let family = Family { name: name.to_owned(), kind: String::new(), unit: None, help: None, samples: vec![] };
            self.done.families.push(family);
        }
        let format = self.format;
        let Some(family) = self.done.families.last_mut() else { return Ok(()) };
        if !family.samples.is_empty() {
            return Err("metadata after the first sample".to_owned());
        }
        match keyword {
            "TYPE" if family.kind.is_empty() => {
                let known =
                    ["gauge", "counter", "histogram"].contains(&rest) || rest == "info" && format.is_open_metrics();
                if !known {
                    return Err("not a type".to_owned());
                }
                rest.clone_into(&mut family.kind);
            }
            "UNIT" if family.unit.is_none() && format.is_open_metrics() => {
                if !name.ends_with(&format!("_{rest}")) {
                    return Err("the name does not end in the unit".to_owned());
                }
                family.unit = Some(rest.to_owned());
            }
            "HELP" if family.help.is_none() => family.help = Some(unescape(rest, format.is_open_metrics())?),
            _ => return Err("unknown, twice or out of place".to_owned()),
        }
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, mut rest) = line.split_at(end);
        if !is_name(name, true) {
            return Err("not a name".to_owned());
        }
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            (labels, rest) = read_labels(inner)?;
        }
        let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
        // which also refuses a timestamp
        if !is_number(value) {
            return Err("not a number".to_owned());
        }
        let sorted: BTreeMap<_, _> = labels.iter().cloned().collect();
        if sorted.len() != labels.len() {
            return Err("a label twice".to_owned());
        }
        if !self.series.insert((name.to_owned(), sorted)) {
            return Err("the series was there before".to_owned());
        }
        let family = self.done.families.last_mut().ok_or("a sample without a family")?;
        if !suffixes(&family.kind, self.format).iter().any(|suffix| name == format!("{}{suffix}", family.name)) {
            return Err(format!("not of the family {}, which is a {}", family.name, family.kind));
        }
        family.samples.push(Sample { name: name.to_owned(), labels, value: value.to_owned() });
        Ok(())
    }
}

fn suffixes(kind: &str, format: Format) -> &'static [&'static str] {
    match (kind, format) {
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("counter", Format::OpenMetrics(_)) => &["_total"],
        ("info", _) => &["_info"],
        _ => &[""],
    }
}

/// The labels up to the closing brace, and what comes after it.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name, false) {
            return Err("not the name of a label".to_owned());
        }
        let mut escaped = false;
        let end = after.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let (value, after) = after.split_at(end.ok_or("a value without an end")?);
        labels.push((name.to_owned(), unescape(value, true)?));
        rest = &after[1..];
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
    }
}

fn unescape(text: &str, quotes: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            plain.push(match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quotes => '"',
                _ => return Err("not an escape".to_owned()),
            });
        } else {
            plain.push(c);
        }
    }
    Ok(plain)
}

fn is_name(text: &str, colons: bool) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || colons && b == b':')
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let plain = text.strip_prefix('-').unwrap_or(text);
    ["NaN", "+Inf", "-Inf"].contains(&text)
        || plain.split_once('.').map_or_else(|| digits(plain), |(whole, part)| digits(whole) && digits(part))
}

/// What can only be seen when all samples of a family are there.
fn whole(family: &Family, format: Format) -> Result<(), String> {
    let name = &family.name;
    if family.kind.is_empty() || family.help.is_none() || family.samples.is_empty() {
        return Err(format!("{name} has no TYPE, no HELP or no sample"));
    }
    for sample in &family.samples {
        let counts = family.kind == "counter" || sample.name.ends_with("_bucket") || sample.name.ends_with("_count");
        if counts && !sample.value.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("{name} counts {}", sample.value));
        }
        let info = family.kind == "info" || !format.is_open_metrics() && name.ends_with("_info");
        if info && sample.value != "1" {
            return Err(format!("{name} is {}", sample.value));
        }
    }
    if family.kind == "histogram" { histogram(family) } else { Ok(()) }
}

/// The samples of each histogram stand together: buckets with rising bounds and counts, the last of them `+Inf`
/// and equal to the count.
fn histogram(family: &Family) -> Result<(), String> {
    let problem = |what: &str| Err(format!("{}: {what}", family.name));
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut sums = 0;
    for sample in &family.samples {
        let part = sample.name.strip_prefix(&family.name).unwrap_or_default();
        match part {
            "_bucket" => {
                let bound = sample.label("le").and_then(|le| le.parse::<f64>().ok());
                let (Some(bound), Ok(count)) = (bound, sample.value.parse()) else {
                    return problem("a bucket without a bound or a count");
                };
                if buckets.last().is_some_and(|(below, fewer)| *below >= bound || *fewer > count) {
                    return problem("bounds or counts do not rise");
                }
                buckets.push((bound, count));
            }
            "_sum" => sums += 1,
            _ => {
                let whole = buckets
                    .last()
                    .is_some_and(|(bound, count)| *bound == f64::INFINITY && count.to_string() == sample.value);
                if !whole || sums != 1 {
                    return problem("count, sum and last bucket do not fit");
                }
                buckets.clear();
                sums = 0;
            }
        }
    }
    if buckets.is_empty() && sums == 0 { Ok(()) } else { problem("no count") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Escaping;

    const OPEN: Format = Format::OpenMetrics(Escaping::Underscores);

    const GOOD: &str = "# HELP a What.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} -0.50\n\
        # HELP b_total Count.\n# TYPE b_total counter\nb_total 3\n\
        # HELP h How long.\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";

    #[test]
    fn good_text_is_accepted() {
        let read = read(GOOD, Format::Text).unwrap();
        assert_eq!(read.families.len(), 3);
        assert_eq!(read.value("a", &[("x", "2")]), Some("-0.50"));
        assert_eq!(read.value("a", &[]), None, "there are two");
        assert_eq!(read.value("b_total", &[]), Some("3"));
        let open = GOOD.replace("HELP b_total", "HELP b").replace("TYPE b_total", "TYPE b") + "# EOF\n";
        super::read(&open, OPEN).unwrap();
    }

    #[test]
    fn one_fault_each_is_refused() {
        for (fault, from, to) in [
            ("no line end", "h_count 2\n", "h_count 2"),
            ("carriage return", "b_total 3\n", "b_total 3\r\n"),
            ("empty line", "b_total 3\n", "b_total 3\n\n"),
            ("timestamp", "b_total 3", "b_total 3 1700000000"),
            ("two spaces", "b_total 3", "b_total  3"),
            ("no value", "b_total 3", "b_total"),
            ("word for a value", "b_total 3", "b_total three"),
            ("exponent", "b_total 3", "b_total 3e4"),
            ("counter below zero", "b_total 3", "b_total -3"),
            ("counter that is no number", "b_total 3", "b_total NaN"),
            ("no type", "# TYPE a gauge\n", ""),
            ("unknown type", "# TYPE a gauge", "# TYPE a gage"),
            ("info in the text format", "# TYPE a gauge", "# TYPE a info"),
            ("no help", "# HELP a What.\n", ""),
            ("two types", "# TYPE a gauge\n", "# TYPE a gauge\n# TYPE a gauge\n"),
            ("two helps", "# HELP a What.\n", "# HELP a What.\n# HELP a Why.\n"),
            ("unit in the text format", "# TYPE a gauge\n", "# TYPE a gauge\n# UNIT a a\n"),
            ("bad escape in help", "What.", "Wh\\at."),
            ("a comment", "# HELP b_total", "# by the way\n# HELP b_total"),
            ("same series twice", "a{x=\"2\"}", "a{x=\"1\"}"),
            ("label twice", "{x=\"2\"}", "{x=\"2\",x=\"3\"}"),
            ("bad label name", "{x=\"2\"}", "{1x=\"2\"}"),
            ("bad name", "a{x=\"2\"}", "a-a{x=\"2\"}"),
            ("no quotes", "{x=\"2\"}", "{x=2}"),
            ("open quotes", "{x=\"2\"}", "{x=\"2}"),
            ("bad escape", "{x=\"2\"}", "{x=\"\\t\"}"),
            ("no comma", "{x=\"2\"}", "{x=\"2\"y=\"3\"}"),
            ("empty braces", "b_total 3", "b_total{} 3"),
            ("interleaved", "b_total 3\n", "b_total 3\na{x=\"3\"} 1\n"),
            ("family comes back", "b_total 3\n", "b_total 3\n# HELP a What.\n"),
            ("family without samples", "b_total 3\n", ""),
            ("sample without a family", "# HELP a What.\n# TYPE a gauge\n", ""),
            ("end of another format", "h_count 2\n", "h_count 2\n# EOF\n"),
            ("buckets fall", "h_bucket{le=\"1.0\"} 1", "h_bucket{le=\"1.0\"} 3"),
            ("bounds fall", "h_bucket{le=\"1.0\"} 1", "h_bucket{le=\"+Inf\"} 1"),
            ("no last bucket", "h_bucket{le=\"+Inf\"} 2\n", ""),
            ("count differs", "h_count 2", "h_count 5"),
            ("no sum", "h_sum 3.5\n", ""),
            ("no count", "h_count 2\n", ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{fault}");
            assert!(read(&text, Format::Text).is_err(), "{fault} was accepted:\n{text}");
        }
    }

    #[test]
    fn open_metrics_has_faults_of_its_own() {
        let good = "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds What.\na_seconds 1\n\
            # TYPE b counter\n# HELP b Count.\nb_total 3\n# TYPE c info\n# HELP c Who.\nc_info{x=\"y\"} 1\n# EOF\n";
        read(good, OPEN).unwrap();
        for (fault, from, to) in [
            ("no end", "# EOF\n", ""),
            ("something after the end", "# EOF\n", "# EOF\nb_total 3\n"),
            ("two ends", "# EOF\n", "# EOF\n# EOF\n"),
            ("counter without _total", "b_total 3", "b 3"),
            ("info without _info", "c_info{", "c{"),
            ("info that is not 1", "c_info{x=\"y\"} 1", "c_info{x=\"y\"} 0"),
            ("another unit", "UNIT a_seconds seconds", "UNIT a_seconds bytes"),
        ] {
            let text = good.replacen(from, to, 1);
            assert!(read(&text, OPEN).is_err(), "{fault} was accepted:\n{text}");
        }
    }
}
