//! Clients that speak HTTP/1.0. They know no chunks (RFC 9112, section 6.1): a body of unknown length ends with the
//! connection, and the response announces that. They would take an interim response for the final one (RFC 9110,
//! section 15.2).

use std::any::Any;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora_core::Result;
use pingora_core::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora_proxy::Session;

/// Sends the response without chunks and without interim responses before it, if the client speaks HTTP/1.0.
pub(super) fn begin(session: &mut Session) {
    if session.req_header().version == Version::HTTP_10 {
        session.as_mut().set_ignore_info_resp(true);
        let mut modules = HttpModules::new();
        modules.add_module(Box::new(WithoutChunks));
        session.downstream_modules_ctx = modules.build_ctx();
    }
}

/// Closes the connection after the response with `head`, if its body has no other end.
pub(super) fn end_with_body(session: &mut Session, head: &ResponseHeader) {
    let request = session.req_header();
    if request.version != Version::HTTP_10 || head.headers.contains_key(CONTENT_LENGTH) {
        return;
    }
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if !bodiless && request.method != Method::HEAD {
        session.set_keepalive(None);
    }
}

/// Removes `Transfer-Encoding` from a response. Pingora may add it after all filters have run.
struct WithoutChunks;

impl HttpModuleBuilder for WithoutChunks {
    fn init(&self) -> Module {
        Box::new(Self)
    }
}

#[async_trait::async_trait]
impl HttpModule for WithoutChunks {
    async fn response_header_filter(&mut self, head: &mut ResponseHeader, _: bool) -> Result<()> {
        head.remove_header(&TRANSFER_ENCODING);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
