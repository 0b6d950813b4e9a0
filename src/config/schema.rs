//! The JSON Schema of the whole file, for editors: from the raw types and the registry.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::raw;
use crate::providers;

/// The schema of `exporter.yaml`.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let mut file = object(raw::File::json_schema(&mut generator));
    let entries: Vec<_> = providers::ALL
        .iter()
        .map(|api| {
            let facts = api.facts();
            let (own_provider, own_account) = api.schemas(&mut generator);
            let account = merged(object(raw::Account::json_schema(&mut generator)), object(own_account));
            let mut provider = merged(object(raw::Provider::json_schema(&mut generator)), object(own_provider));
            provider.insert("title".to_owned(), json!(facts.title));
            let properties = part(&mut provider, "properties");
            properties.insert(
                "api".to_owned(),
                json!({ "const": facts.name, "description": "Which API the provider speaks." }),
            );
            part(properties, "accounts").insert("items".to_owned(), Value::Object(account));
            Value::Object(provider)
        })
        .collect();
    part(part(&mut file, "properties"), "providers").insert("items".to_owned(), json!({ "oneOf": entries }));
    file.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    file.insert("$defs".to_owned(), Value::Object(generator.take_definitions(true)));
    Value::Object(file)
}

fn object(schema: schemars::Schema) -> Map<String, Value> {
    match Value::from(schema) {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// The object under a key, made if it is not there.
fn part<'m>(object: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let entry = object.entry(key).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    match entry {
        Value::Object(object) => object,
        _ => unreachable!("made an object above"),
    }
}

/// The keys of both, and of nothing else.
fn merged(mut common: Map<String, Value>, mut own: Map<String, Value>) -> Map<String, Value> {
    let own_properties = std::mem::take(part(&mut own, "properties"));
    part(&mut common, "properties").extend(own_properties);
    if let Some(Value::Array(own_required)) = own.remove("required") {
        let required = common.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required {
            required.extend(own_required);
        }
    }
    common
}
