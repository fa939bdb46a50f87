//! Which of a client's headers a provider gets: by whole names, by the prefixes that front proxies use, and by what a
//! name may be misread as. Knows nothing of a provider's kind or of a header's value.

mod names;
mod prefix_filter;
mod prefixes;
mod spelling;
mod stripped;

pub(crate) use names::{ACCOUNT_CHOICES, ALWAYS_STRIPPED};
pub(crate) use prefixes::is_of_a_front_proxy;
pub use spelling::folded;
pub(crate) use spelling::{is_plain, plain_form};
pub(crate) use stripped::Stripped;
