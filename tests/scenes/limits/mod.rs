//! Limits: what is admitted, refused, counted and remembered.

mod admission;
mod attacks;
mod bodies;
mod books;
mod memory;
mod streams;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::provider::{Wire, begin_events, chunk, end_chunks, respond};
use crate::support::{Client, Gateway, KEY, PATIENCE, Provider, Response, Scene};

/// A model `m` whose input costs a millionth of a unit a token, and its output ten of these.
pub const PRICES: &str = "[[price]]\nmodel = \"m\"\ninput = \"1\"\noutput = \"10\"\n";

/// The headers of requests with JSON.
pub const JSON: [(&str, &str); 2] = [KEY[0], ("content-type", "application/json")];

/// What a provider has billed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    pub requests: u64,
    pub input: u64,
    pub output: u64,
}

impl Bill {
    /// The cost in billionths, by [`PRICES`].
    pub fn cost(&self) -> u64 {
        self.input * 1_000 + self.output * 10_000
    }
}

/// A provider that does what the body of each request says, and keeps books.
///
/// `input`: the tokens that it counts as input, 10 by default; `max_tokens`: the tokens of its output, all of which it
/// uses; `status`: refuses with it, and bills nothing; `stream`: an event a token; `pause`: milliseconds before its end.
#[derive(Clone)]
pub struct Books {
    pub provider: Provider,
    bill: Arc<Mutex<Bill>>,
}

impl Books {
    pub fn open() -> Self {
        let bill = Arc::<Mutex<Bill>>::default();
        let books = bill.clone();
        let provider = Provider::responding(move |request, wire| {
            let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
                return respond(wire, "400 Bad Request", &[], b"{}");
            };
            serve(&asked, wire, &books);
        });
        Self { provider, bill }
    }

    pub fn bill(&self) -> Bill {
        *self.bill.lock().unwrap()
    }
}

fn serve(asked: &Value, wire: &mut dyn Wire, books: &Mutex<Bill>) {
    let number = |name: &str, or: u64| asked[name].as_u64().unwrap_or(or);
    let (input, output) = (number("input", 10), number("max_tokens", 5));
    if let Some(status) = asked["status"].as_u64() {
        return respond(
            wire,
            &format!("{status} No"),
            &[("retry-after", "7")],
            b"{}",
        );
    }
    books.lock().unwrap().requests += 1;
    let pause = Duration::from_millis(number("pause", 0));
    let model = asked["model"].as_str().unwrap_or("m");
    let usage = json!({"prompt_tokens": input, "completion_tokens": output});
    let count = |input, output| {
        let mut bill = books.lock().unwrap();
        bill.input += input;
        bill.output += output;
    };
    if asked["stream"] != true {
        std::thread::sleep(pause);
        count(input, output);
        let body = json!({"model": model, "choices": [{}], "usage": usage}).to_string();
        let head = [("content-type", "application/json")];
        return respond(wire, "200 OK", &head, body.as_bytes());
    }
    count(input, 0);
    begin_events(wire);
    for _ in 0..output {
        let event = json!({"model": model, "choices": [{"delta": {"content": "x"}}]});
        if !chunk(wire, format!("data: {event}\n\n").as_bytes()) {
            return;
        }
        count(0, 1);
        std::thread::sleep(pause);
    }
    let event = json!({"model": model, "choices": [], "usage": usage});
    chunk(
        wire,
        format!("data: {event}\n\ndata: [DONE]\n\n").as_bytes(),
    );
    end_chunks(wire);
}

/// A configuration with these `[[limits]]` and more.
pub fn configuration(provider: &Provider, limits: &str) -> String {
    format!(
        "usage.prices = \"prices.toml\"\nusage.limit_headers = \"all\"\n\
         [providers.p]\nkind = \"custom\"\nbase_url = \"{}\"\ntoken = \"none\"\n\
         [[routes]]\nname = \"r\"\npath = \"/p\"\nprovider = \"p\"\n{limits}",
        provider.url()
    )
}

/// A scene before `books` with these `[[limits]]`, and the key `alice`.
pub fn scene(books: &Books, limits: &str) -> Scene {
    scene_with(books, "", limits)
}

/// The same, with more settings in `[server]` or at the top.
pub fn scene_with(books: &Books, server: &str, limits: &str) -> Scene {
    let scene = Scene::with_server(server, &configuration(&books.provider, limits));
    scene.write("prices.toml", PRICES);
    scene.key("alice", "secret", "labels = { team = \"search\" }")
}

/// A table of `[[limits]]`.
pub fn limit(name: &str, rest: &str) -> String {
    format!("[[limits]]\nname = \"{name}\"\n{rest}\n")
}

/// Sends a request with this JSON as its body.
pub fn ask(gateway: &Gateway, body: &Value) -> Response {
    ask_at(gateway, "/p/chat/completions", body)
}

pub fn ask_at(gateway: &Gateway, path: &str, body: &Value) -> Response {
    gateway.request("POST", path, &JSON, body.to_string().as_bytes())
}

/// Sends a request whose response is not read yet.
pub fn begin(gateway: &Gateway, body: &Value) -> Client {
    let mut client = gateway.client();
    let body = body.to_string();
    client.send(crate::support::client::raw_request(
        "POST",
        "/p/chat/completions",
        &JSON,
        body.as_bytes(),
    ));
    client
}

/// A header as a number.
pub fn number(response: &Response, name: &str) -> i64 {
    let value = response.header(name);
    let value = value.unwrap_or_else(|| panic!("no {name}: {response:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
}

/// What the ledger at `path` has as taken, in all periods and by all processes, of the limit `name`.
pub fn taken(path: &Path, name: &str) -> i64 {
    let ledger = rusqlite::Connection::open(path).unwrap();
    ledger.busy_timeout(PATIENCE).unwrap();
    let sum = "SELECT coalesce(sum(used), 0) FROM share JOIN account ON account.id = share.account \
               WHERE account.name = ?1";
    ledger.query_row(sum, [name], |row| row.get(0)).unwrap()
}
