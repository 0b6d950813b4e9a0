//! Every key of the configuration, from its JSON Schema: what may be written, what holds without it, what it means.

use serde_json::{Map, Value};

use super::table::{code, sentence, table};
use crate::config;
use crate::providers;

/// Lists whose entries have a section of their own.
const LISTS: [&str; 2] = ["providers", "accounts"];

/// The whole file.
pub(super) fn configuration() -> String {
    let schema = config::schema();
    let reader = Reader::new(&schema);
    let mut text = format!("### The file\n\n{}", rows_table(&reader.rows(&schema)));
    let entries: Vec<_> = reader.entries();
    let providers: Vec<_> = entries.iter().map(|(provider, _)| reader.rows(provider)).collect();
    let accounts: Vec<_> = entries.iter().map(|(_, account)| reader.rows(account)).collect();
    text.extend(["\n### A provider entry\n\nWith any `api`:\n\n", &rows_table(&common(&providers))]);
    text.extend(["\n### An account entry\n\nWith any `api`:\n\n", &rows_table(&common(&accounts))]);
    for api in providers::ALL {
        let name = api.facts().name;
        text.extend(["\n### `api: ", name, "`\n\n", &of_the_api(name)]);
    }
    text + "\n### Kinds of values\n\n" + &reader.kinds()
}

/// The keys that one API adds.
pub(super) fn of_the_api(name: &str) -> String {
    let schema = config::schema();
    let reader = Reader::new(&schema);
    let entries = reader.entries();
    let Some(index) = providers::ALL.iter().position(|api| api.facts().name == name) else { return String::new() };
    let own = |rows: Vec<Vec<Row>>| {
        let common = common(&rows);
        let shared = |row: &Row| common.iter().any(|shared| shared.key == row.key);
        rows.into_iter().nth(index).unwrap_or_default().into_iter().filter(|row| !shared(row)).collect::<Vec<_>>()
    };
    let provider = own(entries.iter().map(|(provider, _)| reader.rows(provider)).collect());
    let account = own(entries.iter().map(|(_, account)| reader.rows(account)).collect());
    format!("In the provider entry:\n\n{}\nIn each account entry:\n\n{}", rows_table(&provider), rows_table(&account))
}

/// What is told of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// With the keys that it stands below.
    key: String,
    value: String,
    default: String,
    meaning: String,
}

fn rows_table(rows: &[Row]) -> String {
    let cells = |row: &Row| [code(&row.key), row.value.clone(), row.default.clone(), row.meaning.clone()];
    table(["Key", "Value", "Default", "Meaning"], rows.iter().map(cells))
}

/// The keys that mean the same everywhere, with the choices of all.
fn common(all: &[Vec<Row>]) -> Vec<Row> {
    let Some((first, others)) = all.split_first() else { return Vec::new() };
    let meant = |row: &&Row| others.iter().all(|rows| rows.iter().any(|other| same(row, other)));
    let with_choices = |row: &Row| {
        let mut row = row.clone();
        for other in others.iter().flatten().filter(|other| same(&row, other)).cloned().collect::<Vec<_>>() {
            if !row.value.contains(&other.value) {
                row.value = format!("{}, {}", row.value, other.value);
            }
        }
        row
    };
    first.iter().filter(meant).map(with_choices).collect()
}

/// Whether two rows are about one key; the key that names the API has another value in each.
fn same(one: &Row, other: &Row) -> bool {
    one.key == other.key && one.meaning == other.meaning && one.default == other.default
}

/// A schema, with the definitions that it refers to.
struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    root: &'a Value,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Value) -> Self {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        Self { definitions: root["$defs"].as_object().unwrap_or(&NONE), root }
    }

    /// The provider entry of each API, in the order of the registry, and its account entry.
    fn entries(&self) -> Vec<(&'a Value, &'a Value)> {
        let entries = self.root["properties"]["providers"]["items"]["oneOf"].as_array();
        entries.into_iter().flatten().map(|entry| (entry, &entry["properties"]["accounts"]["items"])).collect()
    }

    /// What a schema refers to, or itself.
    fn resolved<'b>(&self, schema: &'b Value) -> &'b Value
    where
        'a: 'b,
    {
        let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }

    /// The keys of a mapping and of what stands in it, those that are required first.
    fn rows(&self, mapping: &Value) -> Vec<Row> {
        let mut rows = Vec::new();
        self.add(mapping, "", &mut rows);
        rows
    }

    fn add(&self, mapping: &Value, above: &str, rows: &mut Vec<Row>) {
        let required: Vec<_> = mapping["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut properties: Vec<_> = mapping["properties"].as_object().into_iter().flatten().collect();
        properties.sort_by_key(|(key, _)| required.iter().position(|name| name == key).unwrap_or(usize::MAX));
        for (key, property) in properties {
            let path = format!("{above}{key}");
            let default = match &property["default"] {
                _ if required.contains(&key.as_str()) => "required".to_owned(),
                Value::String(text) => code(text),
                Value::Bool(value) => code(&value.to_string()),
                Value::Number(number) => code(&number.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
            };
            let row = Row { value: self.value(property), default, meaning: self.meaning(property), key: path.clone() };
            if !rows.contains(&row) {
                rows.push(row);
            }
            if !LISTS.contains(&key.as_str()) {
                self.add_below(property, &format!("{path}."), rows);
            }
        }
    }

    /// The keys of every mapping that a value can be or hold.
    fn add_below(&self, value: &Value, above: &str, rows: &mut Vec<Row>) {
        let value = self.resolved(value);
        if is_kind(value) {
            return;
        }
        self.add(value, above, rows);
        for choice in value["anyOf"].as_array().into_iter().flatten() {
            self.add_below(choice, above, rows);
        }
        if value["items"].is_object() {
            self.add_below(&value["items"], above, rows);
        }
        if value["additionalProperties"].is_object() {
            self.add_below(&value["additionalProperties"], &format!("{above}NAME."), rows);
        }
    }

    /// What may be written.
    fn value(&self, schema: &Value) -> String {
        let schema = self.resolved(schema);
        if let Some(constant) = schema["const"].as_str() {
            return code(constant);
        }
        if is_kind(schema) {
            return schema["title"].as_str().unwrap_or_default().to_owned();
        }
        if let Some(choices) = schema["enum"].as_array() {
            return choices.iter().filter_map(Value::as_str).map(code).collect::<Vec<_>>().join(", ");
        }
        for choices in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choices].as_array() {
                let separator = if choices.iter().all(|choice| choice["const"].is_string()) { ", " } else { " or " };
                return choices.iter().map(|choice| self.value(choice)).collect::<Vec<_>>().join(separator);
            }
        }
        let types = match &schema["type"] {
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => vec!["anything"],
        };
        let types: Vec<_> = types.into_iter().map(|name| self.of_type(name, schema)).collect();
        types.join(" or ")
    }

    fn of_type(&self, name: &str, schema: &Value) -> String {
        match name {
            "object" if schema["properties"].is_object() => "mapping".to_owned(),
            "object" => match schema["patternProperties"].as_object().and_then(|kinds| kinds.values().next()) {
                Some(value) => format!("mapping of {}s by name", self.value(value)),
                None => format!("mapping of {}s by name", self.value(&schema["additionalProperties"])),
            },
            "array" if schema["items"]["oneOf"].is_array() => "list".to_owned(),
            "array" => format!("list of {}s", self.value(&schema["items"])),
            _ => {
                let [least, most] = ["minimum", "maximum"].map(|bound| schema[bound].as_u64());
                let [shortest, longest] = ["minLength", "maxLength"].map(|bound| schema[bound].as_u64());
                let pattern = schema["pattern"].as_str().map(|pattern| format!(" like `{pattern}`"));
                let bounds = bounds(least, most).map(|bounds| format!(" {bounds}"));
                let length = bounds_of_length(shortest, longest);
                format!("{name}{}", pattern.or(bounds).or(length).unwrap_or_default())
            }
        }
    }

    /// What the key is for, and what each of its choices is.
    fn meaning(&self, property: &Value) -> String {
        let schema = self.resolved(property);
        let own = property["description"].as_str().or(schema["description"].as_str()).unwrap_or_default();
        let mut text = if own.is_empty() { String::new() } else { sentence(own) };
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            if let (Some(value), Some(meaning)) = (choice["const"].as_str(), choice["description"].as_str()) {
                text.extend([" `", value, "`: ", &sentence(meaning)]);
            }
        }
        text
    }

    /// The kinds of values that have a name.
    fn kinds(&self) -> String {
        let mut rows: Vec<_> =
            self.definitions.values().filter(|schema| is_kind(schema)).map(|s| self.kind(s)).collect();
        rows.sort();
        table(["Kind", "Form", "Meaning"], rows)
    }

    fn kind(&self, schema: &Value) -> [String; 3] {
        let forms = schema["oneOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
        let mut told: Vec<_> = schema["description"].as_str().into_iter().map(sentence).collect();
        if schema["oneOf"].is_array() {
            let meaning =
                |form: &Value| Some(format!("{}: {}", self.form(form), sentence(form["description"].as_str()?)));
            told.extend(forms.iter().filter_map(meaning));
        }
        let title = schema["title"].as_str().unwrap_or_default().to_owned();
        [title, forms.iter().map(|form| self.form(form)).collect::<Vec<_>>().join(" or "), told.join(" ")]
    }

    /// How a value is written.
    fn form(&self, schema: &Value) -> String {
        match schema["properties"].as_object().and_then(|keys| keys.keys().next()) {
            Some(key) => format!("`{{ {key}: … }}`"),
            None => schema["type"].as_str().map(|name| self.of_type(name, schema)).unwrap_or_default(),
        }
    }
}

/// Whether a definition is told once, under its name, and not wherever it is used.
fn is_kind(schema: &Value) -> bool {
    schema["title"].is_string() && !schema["properties"].is_object()
}

fn bounds(least: Option<u64>, most: Option<u64>) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("from {least} to {most}")),
        (Some(least), None) if least > 0 => Some(format!("of at least {least}")),
        (None, Some(most)) => Some(format!("of at most {most}")),
        (Some(_) | None, None) => None,
    }
}

fn bounds_of_length(shortest: Option<u64>, longest: Option<u64>) -> Option<String> {
    match (shortest, longest) {
        (Some(shortest), Some(longest)) => Some(format!(" of {shortest} to {longest} characters")),
        (Some(_), None) => Some(", not empty".to_owned()),
        (None, Some(longest)) => Some(format!(" of at most {longest} characters")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path of every property of the schema, however deep.
    fn keys(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                if let Some(properties) = object.get("properties").and_then(Value::as_object) {
                    found.extend(properties.keys().cloned());
                }
                object.values().for_each(|below| keys(below, found));
            }
            Value::Array(entries) => entries.iter().for_each(|below| keys(below, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_key_of_the_schema_has_its_row() {
        let text = configuration();
        let mut all = Vec::new();
        keys(&config::schema(), &mut all);
        assert!(all.len() > 40, "{}", all.len());
        for key in all {
            let row = |line: &str| line.starts_with("| `") && line.split('`').nth(1).is_some_and(|path| is(path, &key));
            let form = format!("`{{ {key}: … }}`");
            assert!(text.lines().any(row) || text.contains(&form), "there is no row for {key}");
        }
    }

    fn is(path: &str, key: &str) -> bool {
        path == key || path.ends_with(&format!(".{key}"))
    }

    #[test]
    fn a_row_tells_value_default_and_meaning() {
        let text = configuration();
        for row in [
            "| `name` | name | required | The label `provider`; unique. |",
            "| `api` | `dialog`, `payby`, `bridge`, `smilepayz` | required | Which API the provider speaks. |",
            "| `rate_limit.requests` | integer from 1 to 1000000 | required | How many. |",
            "| `thresholds.NAME.warning` | amount |  | Below it, someone should top up. |",
            "| `version` | string | `v3` | The version segment of the API's path, as the application is subscribed to it. |",
            "| `login.client_secret` | secret | required | The application's consumer secret. |",
            "| `currencies.sms` | currency |  | Of the wallet that messages are paid from. |",
            "| `divisor` | integer from 1 to 100000000 | `1` |",
        ] {
            assert!(text.lines().any(|line| line.starts_with(row)), "{row}\n{text}");
        }
    }

    #[test]
    fn every_row_says_what_it_means() {
        let text = configuration();
        let (keys, _) = text.split_once("### Kinds of values").unwrap();
        for row in keys.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split(" | ").collect();
            assert!(!cells[1].is_empty() && cells[3].len() > 5, "{row}");
        }
    }

    #[test]
    fn a_key_of_one_api_is_not_told_of_another() {
        for (api, own, others) in [("payby", "`partner_id`", "`username`"), ("bridge", "`username`", "`partner_id`")] {
            let text = of_the_api(api);
            assert!(text.contains(own) && !text.contains(others) && !text.contains("`interval`"), "{text}");
        }
    }
}
