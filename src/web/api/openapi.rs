//! The description of the API, for programs that write clients. What it says of answers is made from the types that
//! are answered with.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::Message;
use crate::web::Paths;
use crate::web::told::{Account, Listing, MOST_PER_PAGE, Only, Query, Sort};

/// The description; `paths` tells where everything is for who reads it.
pub(in crate::web) fn describe(paths: &Paths) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let listing = generator.subschema_for::<Listing>();
    let account = generator.subschema_for::<Account>();
    let message = generator.subschema_for::<Message>();
    let body = |schema: &schemars::Schema| json!({ "application/json": { "schema": schema } });
    let said = |about: &str| json!({ "description": about, "content": body(&message) });
    let sentence =
        |about: &str| json!({ "description": about, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let wait = json!({ "Retry-After": { "description": "In how many seconds to ask again.", "schema": { "type": "integer", "minimum": 1 } } });
    let later = |about: &str| json!({ "description": about, "headers": wait, "content": body(&message) });
    let named = || json!([name("provider", "The provider entry's name."), name("account", "The account's name.")]);
    let unknown = "There is no such account.";
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "balance-exporter",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the page tells, for programs. Amounts are decimal numbers in texts, with the digits that \
                the provider sent. An amount that is not fresh is null, and so is every one with web.hide_amounts.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": paths.link("/").trim_end_matches('/').to_owned() + "/" }],
        "paths": {
            "/api/v1/accounts": { "get": {
                "operationId": "accounts",
                "summary": "A page of accounts, with their providers",
                "parameters": parameters(),
                "responses": { "200": { "description": "The accounts.", "content": body(&listing) } },
            } },
            "/api/v1/accounts/{provider}/{account}": { "get": {
                "operationId": "account",
                "summary": "One account",
                "parameters": named(),
                "responses": { "200": { "description": "The account.", "content": body(&account) }, "404": said(unknown) },
            } },
            "/api/v1/accounts/{provider}/{account}/poll": { "post": {
                "operationId": "poll",
                "summary": "Polls an account now, within the limit of its provider",
                "description": "Only with --web.enable-lifecycle, and not from pages of another site.",
                "parameters": named(),
                "responses": {
                    "202": said("It is polled now. Read the account to see what comes of it."),
                    "403": said("That is off, or the request comes from another site."),
                    "404": said(unknown),
                    "409": said("It is being polled already."),
                    "429": later("It was polled less than 30 seconds ago."),
                    "503": later("The provider asked for a pause, or refused so often that more tries could lock the credentials."),
                },
            } },
            "/health/accounts/{provider}/{account}": { "get": {
                "operationId": "health",
                "summary": "Whether an account's balance is fresh and above its critical levels, without amounts",
                "parameters": named(),
                "responses": { "200": sentence("It is."), "503": sentence("It is not."), "404": sentence(unknown) },
            } },
            "/api/v1/openapi.json": { "get": {
                "operationId": "description",
                "summary": "This description",
                "responses": { "200": { "description": "It.", "content": { "application/json": { "schema": { "type": "object" } } } } },
            } },
        },
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn name(key: &str, about: &str) -> Value {
    json!({ "name": key, "in": "path", "required": true, "description": about, "schema": { "type": "string" } })
}

/// What a query can say; the page understands the same.
fn parameters() -> Value {
    let usual = Query::default();
    let parameter = |key: &str, about: &str, schema: Value| json!({ "name": key, "in": "query", "description": about, "schema": schema });
    let states: Vec<_> = Only::all().map(Only::as_str).collect();
    let orders: Vec<_> =
        Sort::ALL.into_iter().flat_map(|sort| [sort.as_str().to_owned(), format!("-{}", sort.as_str())]).collect();
    json!([
        parameter(
            "q",
            "Words that must all be found in names, labels, wallets or currencies.",
            json!({ "type": "string" })
        ),
        parameter("state", "Only accounts in this state, or those that need attention.", json!({ "enum": states })),
        parameter(
            "sort",
            "The order; with a minus the other way round.",
            json!({ "enum": orders, "default": usual.sort.as_str() })
        ),
        parameter("page", "Which page.", json!({ "type": "integer", "minimum": 1, "default": usual.page })),
        parameter(
            "per_page",
            "Accounts on a page.",
            json!({ "type": "integer", "minimum": 1, "maximum": MOST_PER_PAGE, "default": usual.per_page })
        ),
    ])
}
