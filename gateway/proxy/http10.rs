//! Clients of HTTP/1.0, which know of no chunks (RFC 9112, section 6.1): where the length of a response is not known, its
//! body ends with the connection, and the response says so. Nor do they know of interim responses (RFC 9110, section
//! 15.2), which they would take for the response.

use std::any::Any;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora_core::Result;
use pingora_core::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora_proxy::Session;

/// Has the response go without chunks, and without interim ones before it, if the client is one of HTTP/1.0.
pub(super) fn begin(session: &mut Session) {
    if session.req_header().version == Version::HTTP_10 {
        session.as_mut().set_ignore_info_resp(true);
        let mut modules = HttpModules::new();
        modules.add_module(Box::new(WithoutChunks));
        session.downstream_modules_ctx = modules.build_ctx();
    }
}

/// Has the connection end with the response `head`, if that is what ends its body.
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

/// Takes `Transfer-Encoding` out of a response. Pingora may put it in after everything else has seen the head.
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
