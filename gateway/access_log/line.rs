//! Writes a record as a line of JSON.

use std::borrow::Cow;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::record::{AccessRecord, cap};
use crate::limit::amount::write_money;
use crate::runtime::line_queue::Format;
use crate::runtime::printable;
use crate::usage::{Media, ServiceTier, Usage};

/// The name of a field with the punctuation before its value.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// The line being written. Field names need no escapes; `serde_json` writes the values.
#[derive(Default)]
pub(super) struct Line {
    text: Vec<u8>,
    /// The second of the previous line, since 1970, and its text, which many lines share.
    second: Option<i64>,
    second_text: String,
}

impl Line {
    fn of(&mut self, record: &AccessRecord) -> &[u8] {
        self.text.clear();
        self.time(record.time);
        self.put(name!("request_id"), record.request_id.as_str());
        self.address(name!("client"), record.client);
        self.put(name!("key"), &record.key);
        self.put(name!("route"), &record.route);
        self.put(name!("provider"), &record.provider);
        self.put(name!("method"), record.method);
        self.put(name!("path"), cap(&record.path));
        self.put(name!("status"), &record.status);
        self.put(name!("reason"), &record.reason);
        self.put(name!("refused_by"), &record.refused_by);
        if let Some(limit) = &record.limit {
            self.put(name!("limit"), limit);
        }
        if let Some(tokens) = &record.reserved.tokens {
            self.put(name!("reserved_tokens"), tokens);
        }
        if let Some(cost) = record.reserved.cost {
            self.put(name!("reserved_cost"), &write_money(cost));
        }
        self.put(name!("request_bytes"), &record.request_bytes);
        self.put(name!("response_bytes"), &record.response_bytes);
        self.put(name!("events"), &record.events);
        if let Some(responses) = &record.responses {
            self.put(name!("responses"), responses);
        }
        self.put(name!("model"), &record.model);
        if let Some(usage) = &record.usage {
            self.put(name!("input_tokens"), &usage.input);
            self.put(name!("output_tokens"), &usage.output);
            self.put(name!("cache_read_tokens"), &usage.cache_read);
            self.put(name!("cache_creation_tokens"), &usage.cache_creation);
            self.put(name!("reasoning_tokens"), &usage.reasoning);
            self.rare(usage);
        }
        if record.estimated {
            self.put(name!("estimated"), &true);
        }
        if let Some(price) = &record.cost {
            self.put(name!("cost"), &price.cost.to_string());
            self.put(name!("currency"), &price.currency);
            self.put(name!("cost_source"), price.source.name());
        }
        self.put(name!("duration_ms"), &record.duration_ms);
        self.put(name!("connect_ms"), &record.connect_ms);
        self.put(name!("added_ms"), &record.added_ms);
        self.put(name!("first_byte_ms"), &record.first_byte_ms);
        self.address(name!("upstream"), record.upstream);
        self.put(name!("reused"), &record.reused);
        self.put(name!("attempts"), &record.attempts);
        self.put(name!("aborted"), &record.client_left);
        self.text.extend_from_slice(b"}");
        self.make_printable();
        self.text.push(b'\n');
        &self.text
    }

    /// Writes the counts that few responses report and only prices need.
    fn rare(&mut self, usage: &Usage) {
        for (name, count) in [
            (name!("cache_creation_1h_tokens"), usage.cache_creation_hour),
            (name!("searches"), usage.searches),
        ] {
            if count > 0 {
                self.put(name, &count);
            }
        }
        self.media(&usage.media);
        if usage.calls > 1 {
            self.put(name!("model_calls"), &usage.calls);
        }
        if usage.other_models {
            self.put(name!("other_models"), &true);
        }
        let tier = usage.service_tier;
        if let Some(tier) = tier.filter(|tier| *tier != ServiceTier::Standard) {
            self.put(name!("service_tier"), tier.name());
        }
    }

    /// Writes the tokens that are not text.
    fn media(&mut self, media: &Media) {
        if *media == Media::default() {
            return;
        }
        for (kind, count) in media.by_type() {
            if count > 0 {
                self.put(&format!(",\"{kind}_tokens\":"), &count);
            }
        }
        if media.unclear {
            self.put(name!("media_unclear"), &true);
        }
    }

    /// Escapes what JSON allows and a terminal or log viewer acts on: a provider may put anything
    /// into a model's name.
    fn make_printable(&mut self) {
        // The line is always UTF-8.
        if let Ok(Cow::Owned(printable)) = std::str::from_utf8(&self.text).map(printable::line) {
            self.text = printable.into_bytes();
        }
    }

    /// Writes a field. `name` includes the punctuation before the value.
    fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.text.extend_from_slice(name.as_bytes());
        // Writing texts and numbers to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut self.text, value);
    }

    /// Writes the time as RFC 3339 has it, with microseconds.
    fn time(&mut self, time: Timestamp) {
        let second = time.as_second();
        if self.second != Some(second) {
            self.second = Some(second);
            let second_text = format!("{time:.0}");
            second_text
                .trim_end_matches('Z')
                .clone_into(&mut self.second_text);
        }
        self.text.extend_from_slice(b"{\"time\":\"");
        self.text.extend_from_slice(self.second_text.as_bytes());
        self.text.push(b'.');
        // Microseconds are negative before 1970.
        let micros = time.subsec_microsecond().unsigned_abs();
        for place in [100_000, 10_000, 1_000, 100, 10, 1] {
            self.digit(micros / place);
        }
        self.text.extend_from_slice(b"Z\"");
    }

    /// Writes an address. Each line has two of them, and `Display` took a third of the time of a
    /// line.
    fn address(&mut self, name: &'static str, address: Option<SocketAddr>) {
        let address = match address {
            // A proxy in front named the client without a port.
            Some(address) if address.port() == 0 => return self.put(name, &address.ip()),
            Some(SocketAddr::V4(address)) => address,
            other => return self.put(name, &other),
        };
        self.text.extend_from_slice(name.as_bytes());
        for (place, octet) in address.ip().octets().into_iter().enumerate() {
            self.text.push(if place == 0 { b'"' } else { b'.' });
            self.number(octet.into());
        }
        self.text.push(b':');
        self.number(address.port().into());
        self.text.push(b'"');
    }

    fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.digit(number);
    }

    fn digit(&mut self, number: u32) {
        let [digit, ..] = (number % 10).to_le_bytes();
        self.text.push(b'0' + digit);
    }
}

impl Format<AccessRecord> for Line {
    fn line<'l>(&'l mut self, record: &'l AccessRecord) -> &'l [u8] {
        self.of(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::RequestCost;
    use crate::usage::{Cost, CostSource, MediumTokens};

    #[test]
    fn a_client_without_a_known_port_is_logged_without_one() {
        for (client, expected) in [
            ("192.0.2.1:0", "192.0.2.1"),
            ("[2001:db8::1]:0", "2001:db8::1"),
            ("192.0.2.1:9", "192.0.2.1:9"),
        ] {
            let mut record = AccessRecord::example("/");
            record.client = Some(client.parse().unwrap());
            let line: serde_json::Value =
                serde_json::from_slice(Line::default().of(&record)).unwrap();
            assert_eq!(line["client"], expected);
        }
    }

    #[test]
    fn a_line_contains_every_field() {
        let mut record = AccessRecord::example("/a b");
        record.time = "2026-11-21T10:00:00.000007Z".parse().unwrap();
        record.client = Some("[2001:db8::1]:65535".parse().unwrap());
        record.upstream = Some("10.0.200.1:8080".parse().unwrap());
        record.model = Some("\u{1b}\"gpt\"".to_owned());
        record.usage = Some(Usage {
            input: u64::MAX,
            output: 2,
            cache_read: 3,
            cache_creation: 4,
            reasoning: 5,
            cache_creation_hour: 1,
            media: Media {
                audio: MediumTokens {
                    input: 7,
                    cache_read: 8,
                    output: 9,
                },
                image: MediumTokens {
                    output: 10,
                    ..MediumTokens::default()
                },
                unclear: true,
                ..Media::default()
            },
            searches: 6,
            calls: 2,
            other_models: true,
            service_tier: Some(ServiceTier::Flex),
            ..Usage::default()
        });
        record.cost = Some(RequestCost {
            cost: Cost(1),
            currency: "EUR".into(),
            source: CostSource::Prices,
        });
        record.limit = Some("search-team".into());
        record.reserved.tokens = Some(1_500);
        record.reserved.cost = Some(12_000_000);
        record.estimated = true;
        record.first_byte_ms = Some(0.25);
        record.reused = Some(true);
        let mut line = Line::default();
        let id = record.request_id;
        let expected = format!(
            "{{\"time\":\"2026-11-21T10:00:00.000007Z\",\"request_id\":\"{}\",\
             \"client\":\"[2001:db8::1]:65535\",\"key\":\"alice\",\"route\":null,\"provider\":null,\
             \"method\":\"POST\",\"path\":\"/a b\",\"status\":200,\"reason\":null,\"refused_by\":null,\
             \"limit\":\"search-team\",\"reserved_tokens\":1500,\"reserved_cost\":\"0.012\",\
             \"request_bytes\":1,\"response_bytes\":2,\"events\":0,\"model\":\"\\u001b\\\"gpt\\\"\",\
             \"input_tokens\":18446744073709551615,\"output_tokens\":2,\"cache_read_tokens\":3,\
             \"cache_creation_tokens\":4,\"reasoning_tokens\":5,\"cache_creation_1h_tokens\":1,\"searches\":6,\
             \"input_audio_tokens\":7,\"cache_read_audio_tokens\":8,\"output_audio_tokens\":9,\
             \"output_image_tokens\":10,\"media_unclear\":true,\"model_calls\":2,\"other_models\":true,\
             \"service_tier\":\"flex\",\"estimated\":true,\
             \"cost\":\"0.000000000001\",\"currency\":\"EUR\",\"cost_source\":\"prices\",\
             \"duration_ms\":1.5,\"connect_ms\":0.0,\"added_ms\":0.1,\"first_byte_ms\":0.25,\
             \"upstream\":\"10.0.200.1:8080\",\"reused\":true,\"attempts\":1,\"aborted\":false}}\n",
            id.as_str()
        );
        assert_eq!(String::from_utf8_lossy(line.of(&record)), expected);
        // Records of the same second, and of others.
        for (time, expected) in [
            (
                "2026-11-21T10:00:00.999999999Z",
                "2026-11-21T10:00:00.999999Z",
            ),
            ("2026-11-21T10:00:01Z", "2026-11-21T10:00:01.000000Z"),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000000Z"),
        ] {
            record.time = time.parse().unwrap();
            for line in [&mut line, &mut Line::default()] {
                let line: serde_json::Value = serde_json::from_slice(line.of(&record)).unwrap();
                assert_eq!(line["time"], expected);
            }
        }
    }

    #[test]
    fn no_line_moves_a_cursor_or_turns_a_text_around() {
        let mut record = AccessRecord::example("/");
        let model = "m\u{e9}\u{9b}31m\u{202e}\u{7f}\u{1b}[31m\u{2028}\u{e0041}";
        record.model = Some(model.to_owned());
        let mut line = Line::default();
        let text = std::str::from_utf8(line.of(&record)).unwrap();
        let (text, end) = text.split_at(text.len() - 1);
        assert_eq!(end, "\n");
        let escaped =
            "\"model\":\"m\u{e9}\\u009b31m\\u202e\\u007f\\u001b[31m\\u2028\\udb40\\udc41\"";
        assert!(text.contains(escaped), "{text}");
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(read["model"], model);
    }
}
