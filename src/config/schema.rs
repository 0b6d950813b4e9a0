//! The JSON Schema of the whole file, for editors: from the raw types and the registry.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::raw;
use crate::providers;

/// The schema of `exporter.yaml`.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let entries: Vec<_> = providers::ALL
        .iter()
        .map(|api| {
            let facts = api.facts();
            let (own_provider, own_account) = api.schemas(&mut generator);
            let account = merged(raw::Account::json_schema(&mut generator), own_account);
            let mut provider = merged(raw::Provider::json_schema(&mut generator), own_provider);
            provider.insert("title".to_owned(), json!(facts.title));
            let mut properties = taken(&mut provider, "properties");
            let which = json!({ "const": facts.name, "description": "Which API the provider speaks." });
            properties.insert("api".to_owned(), which);
            list_of(&mut properties, "accounts", &Value::Object(account));
            provider.insert("properties".to_owned(), Value::Object(properties));
            Value::Object(provider)
        })
        .collect();
    let mut file = object(raw::File::json_schema(&mut generator));
    let mut properties = taken(&mut file, "properties");
    list_of(&mut properties, "providers", &json!({ "oneOf": entries }));
    file.insert("properties".to_owned(), Value::Object(properties));
    file.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    file.insert("$defs".to_owned(), Value::Object(generator.take_definitions(true)));
    let mut schema = Value::Object(file);
    without_null(&mut schema);
    schema
}

/// The types say that what is optional may be null. Here it may be left out, and nothing else.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|key, value| !(key == "default" && value.is_null()));
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

type Object = Map<String, Value>;

fn object(schema: Schema) -> Object {
    let Value::Object(object) = schema.into() else { return Object::new() };
    object
}

/// The object under a key, taken out.
fn taken(object: &mut Object, key: &str) -> Object {
    let Some(Value::Object(part)) = object.remove(key) else { return Object::new() };
    part
}

/// Says of a list property what its entries are.
fn list_of(properties: &mut Object, key: &str, entry: &Value) {
    let mut list = taken(properties, key);
    list.insert("items".to_owned(), entry.clone());
    properties.insert(key.to_owned(), Value::Object(list));
}

/// The keys of both, and of nothing else.
fn merged(common: Schema, own: Schema) -> Object {
    let (mut common, mut own) = (object(common), object(own));
    let mut properties = taken(&mut common, "properties");
    properties.extend(taken(&mut own, "properties"));
    common.insert("properties".to_owned(), Value::Object(properties));
    if let (Some(Value::Array(required)), Some(Value::Array(more))) =
        (common.get_mut("required"), own.remove("required"))
    {
        required.extend(more);
    }
    common
}
