//! The two documents on which keygate is modelled, step by step: their objects are imported unchanged, and their curl
//! commands are run. If the documents are available (KEYGATE_SEEDS, or beside the project), the objects are compared with
//! them; otherwise the copies here are used.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keygate::testing::sandbox::Sandbox;
use keygate::testing::server::SandboxServer;

use crate::support::command::{keygate, text};

/// The steps of the lab that are objects and commands.
const LAB: &str = include_str!("../import/lab.md");
/// The objects of an earlier lab on which this one builds.
const BEFORE_THE_LAB: &str = "
apiVersion: networking.gloo.solo.io/v2
kind: ExternalService
metadata: {name: huggingface-api, namespace: gloo-mesh-gateways}
spec:
  hosts: [api-inference.huggingface.co]
  ports: [{name: https, number: 443, protocol: HTTPS, clientsideTls: {}}]
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: ai, namespace: gloo-mesh-gateways}
spec:
  hosts: ['*']
  http:
  - name: huggingface
    labels: {route: huggingface}
    matchers: [{uri: {prefix: /huggingface}}]
    forwardTo:
      pathRewrite: /v1/chat/completions
      hostRewrite: api-inference.huggingface.co
      destinations: [{kind: EXTERNAL_SERVICE, ref: {name: huggingface-api}}]
";
/// The objects of the guide; the document has lost their line breaks.
const GUIDE: [&str; 2] = [
    "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata:
  labels:
    app: gloo
  name: openai
  namespace: gloo-system
spec:
  ai:
    openai:
      authToken:
        secretRef:
          name: openai-secret
          namespace: gloo-system
",
    "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: openai
  namespace: gloo-system
spec:
  parentRefs:
    - name: ai-gateway
      namespace: gloo-system
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: /openai
      backendRefs:
        - name: openai
          namespace: gloo-system
          group: gloo.solo.io
          kind: Upstream
",
];
/// The request of the guide.
const POEM: &str = r#"curl "$INGRESS_GW_ADDRESS:8080/openai" -H content-type:application/json -d '{ "model": "gpt-3.5-turbo", "messages": [ { "role": "system", "content": "You are a poetic assistant, skilled in explaining complex programming concepts with creative flair." }, { "role": "user", "content": "Compose a poem that explains the concept of recursion in programming." } ] }' | jq"#;

/// The document that contains `mark`, if it is available.
#[expect(
    clippy::print_stdout,
    reason = "the output of the tests tells which documents were compared"
)]
fn document(mark: &str) -> Option<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/seeds");
    let folder =
        std::env::var_os("KEYGATE_SEEDS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let entries = std::fs::read_dir(folder).ok()?;
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let found = texts.into_iter().find(|text| text.contains(mark));
    if found.is_none() {
        println!(
            "skipped: the document with `{mark}` is not available; the copy in this file is used"
        );
    }
    found
}

/// The shell blocks of a document, without their indentation.
fn blocks(document: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for line in document.lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut block, line.trim()) {
            (None, "```bash") => block = Some((indent, String::new())),
            (Some(_), "```") => blocks.extend(block.take().map(|(_, text)| text)),
            (Some((indent, text)), _) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// The input of `kubectl apply` in a block.
fn manifest(block: &str) -> Option<&str> {
    let (_, inside) = block.split_once("<<'EOF'\n")?;
    Some(inside.split_once("\nEOF")?.0)
}

/// A gateway in a process of its own, which ends with the scene.
struct Process {
    child: Child,
    address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Imports into a folder, and serves the result with `sandbox` in place of the providers.
fn import_and_serve(
    folder: &Path,
    manifests: &str,
    patches: Option<&str>,
    open: bool,
    sandbox: &str,
) -> Process {
    let (input, patch) = (folder.join("in.yaml"), folder.join("patches"));
    let out = folder.join(if patches.is_some() {
        "patched"
    } else {
        "plain"
    });
    std::fs::write(&input, manifests).unwrap();
    let (input, out_text) = (input.display().to_string(), out.display().to_string());
    let patch_text = patch.display().to_string();
    let mut arguments = vec!["import", "gloo", &input, "--out", &out_text];
    if let Some(patches) = patches {
        std::fs::write(&patch, patches).unwrap();
        arguments.extend(["--patch", &patch_text]);
    }
    // The import loses nothing of the documents.
    arguments.push("--strict");
    if open {
        arguments.push("--allow-open");
    }
    let done = keygate(&arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let config = out.join("gateway.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    let served = written
        .replace("https://api-inference.huggingface.co", sandbox)
        .replace(
            "kind = \"openai\"\n",
            &format!("kind = \"openai\"\nbase_url = \"{sandbox}/v1\"\n"),
        );
    assert_ne!(written, served);
    let server = "server.listen = \"127.0.0.1:0\"\nserver.admin = \"127.0.0.1:0\"\n";
    std::fs::write(&config, format!("{server}{served}")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(["run", "--allow-root", "--config"])
        .arg(&config)
        .env("HF_API_TOKEN", "hf_token")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = lines.find_map(|line| Some(line.ok()?.split_once("listen=[")?.1.to_owned()));
    let address = serving.expect("the gateway does not serve");
    // A thread reads its further output, so that writing does not block.
    std::thread::spawn(move || lines.for_each(drop));
    Process {
        child,
        address: address.split(']').next().unwrap().to_owned(),
    }
}

/// The output of a command of a document, standard output and standard error.
fn shell(command: &str, variables: &[(&str, &str)]) -> String {
    let ran = Command::new("bash")
        .args(["-c", command])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    format!("{}\n{}", text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn the_seven_steps_of_the_lab_have_the_results_that_it_describes() {
    let lab = document("Lab 6 - AI API Key Handling");
    let found = blocks(lab.as_deref().unwrap_or(LAB));
    if lab.is_some() {
        assert_eq!(found, blocks(LAB), "the copy differs from the document");
    }
    let manifests: Vec<&str> = found.iter().filter_map(|block| manifest(block)).collect();
    let patches: Vec<&String> = found
        .iter()
        .filter(|block| block.contains("kubectl patch"))
        .collect();
    let curls: Vec<&String> = found
        .iter()
        .filter(|block| block.starts_with("curl"))
        .collect();
    assert_eq!((manifests.len(), patches.len(), curls.len()), (3, 2, 3));
    let sandbox =
        SandboxServer::start(Sandbox::new("hf_token".to_owned(), Duration::ZERO)).unwrap();
    let url = format!("http://{}", sandbox.address());
    let folder = tempfile::tempdir().unwrap();

    // Steps 1 to 3: the policy and the user's key, without the provider's token.
    let objects = [BEFORE_THE_LAB, manifests[0], manifests[1]].join("\n---\n");
    let gateway = import_and_serve(folder.path(), &objects, None, false, &url);
    let variables = [("GLOO_AI_GATEWAY", gateway.address.as_str())];
    let denied = shell(curls[0], &variables);
    assert!(denied.contains("HTTP/1.1 401"), "{denied}");
    // The request is admitted; without its token, the provider is unavailable.
    let let_in = shell(curls[1], &variables);
    assert!(
        let_in.contains("x-keygate-refused-by: provider"),
        "{let_in}"
    );
    drop(gateway);

    // Steps 4 to 7: the token goes to the key, and from there to the provider.
    let objects = [BEFORE_THE_LAB, manifests[0], manifests[1], manifests[2]].join("\n---\n");
    let patches = [patches[0].as_str(), patches[1].as_str()].join("\n");
    let gateway = import_and_serve(folder.path(), &objects, Some(&patches), false, &url);
    let written = std::fs::read_to_string(folder.path().join("patched/gateway.toml")).unwrap();
    assert!(
        written.contains("token = \"key:huggingface-api-key\""),
        "{written}"
    );
    assert!(!written.contains("transform"), "{written}");
    let variables = [("GLOO_AI_GATEWAY", gateway.address.as_str())];
    assert!(shell(curls[0], &variables).contains("HTTP/1.1 401"));
    let let_in = shell(curls[1], &variables);
    assert!(let_in.contains("HTTP/1.1 200 OK"), "{let_in}");
    let response = shell(curls[2], &variables);
    assert!(
        response.contains("Explain in 1-2 sentences why EKS value"),
        "{response}"
    );
    assert!(
        response.contains("Bearer hf_token") && !response.contains("mysecretkey"),
        "{response}"
    );
}

#[test]
fn the_request_of_the_guide_reaches_the_provider_with_its_token() {
    if let Some(guide) = document("Authenticate with API keys") {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for object in GUIDE {
            assert!(guide.contains(&flat(object)), "the guide has no {object}");
        }
        assert!(guide.contains(POEM));
        assert!(guide.contains("--from-literal=\"Authorization=Bearer $OPENAI_API_KEY\""));
    }
    let sandbox =
        SandboxServer::start(Sandbox::new("sk-guide".to_owned(), Duration::ZERO)).unwrap();
    let secret = "apiVersion: v1
kind: Secret
metadata: {name: openai-secret, namespace: gloo-system}
data: {Authorization: QmVhcmVyIHNrLWd1aWRl}
";
    let folder = tempfile::tempdir().unwrap();
    let objects = [secret, GUIDE[0], GUIDE[1]].join("\n---\n");
    let url = format!("http://{}", sandbox.address());
    let gateway = import_and_serve(folder.path(), &objects, None, true, &url);
    let (host, port) = gateway.address.split_once(':').unwrap();
    let requested = POEM
        .replace(":8080", &format!(":{port}"))
        .replace(" | jq", "");
    let response = shell(&requested, &[("INGRESS_GW_ADDRESS", host)]);
    assert!(
        response.contains("Compose a poem that explains the concept of recursion"),
        "{response}"
    );
    assert!(response.contains("Bearer sk-guide"), "{response}");
}
