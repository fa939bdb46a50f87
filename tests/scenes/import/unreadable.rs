//! Input that an import cannot read is reported with its file and line.

use keygate::testing::import::gloo;
use keygate::testing::import::litellm::{self, Tables};

use super::input;

#[test]
fn unreadable_input_is_reported_with_its_place() {
    let secret = "kind: Secret\nmetadata: {name: s}\ndata: {Authorization: '%%%'}\n";
    for (manifests, patches, why) in [
        ("a: [1\nb: 2\n", "", "m:2:2: not valid YAML"),
        (
            secret,
            "",
            "Secret s (m:1): data.Authorization: is not base64",
        ),
        (
            "kind: Secret\nmetadata: {name: s}\ndata: {Authorization: /w==}\n",
            "",
            "Secret s (m:1): data.Authorization: is not text",
        ),
        (
            "kind: X\nmetadata: {name: s}\n",
            "kubectl patch secret t -p='[]'",
            "p:1: there is no secret `t` in the files",
        ),
        (
            "kind: X\nmetadata: {name: s}\n",
            "kubectl patch x s -p='[{\"op\":\"remove\",\"path\":\"/a\"}]'",
            "p:1: X s (m:1)",
        ),
        (
            "kind: X\nmetadata: {name: s}\n",
            "- 1\n",
            "p:1: a patch has `target`",
        ),
    ] {
        let error = gloo::read(&input("m", manifests), &input("p", patches), false)
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with(why), "{error}\nwanted {why}");
    }
    for (config, keys, why) in [
        ("a: [1\nb: 2\n", None, "c:2:2: not valid YAML"),
        ("[]\n", None, "c: there is no LiteLLM configuration in it"),
        ("a: 1\n", Some("id\n1\n"), "k:1: there is no column `token`"),
        (
            "a: 1\n",
            Some(
                "token,blocked,expires,models,metadata,permissions,team_id,user_id,spend,max_budget,rpm_limit,tpm_limit,max_parallel_requests\n\
                 abc,,,,,,,,,,,,\n",
            ),
            "k:2: `token` is not the SHA-256 of a key",
        ),
    ] {
        let tables = Tables {
            keys: keys.map(|keys| ("k", keys)),
            ..Tables::default()
        };
        let error = litellm::read("c", config, &tables)
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with(why), "{error}\nwanted {why}");
    }
}
