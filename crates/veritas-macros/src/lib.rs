//! The attribute macros of Veritas.
//!
//! A macro here reads its arguments and writes one call into the `veritas`
//! crate; it holds no logic that could be a function. Use them through the
//! facade (`#[veritas::profile]`), which re-exports them; with `crate = …` they
//! work without it.

mod options;
mod profile;

use proc_macro::TokenStream;

/// Profiles a function: every call is counted and timed.
///
/// The profile has the function's name, or the one given:
///
/// ```
/// # use veritas_macros::profile;
/// #[profile(crate = veritas_profile)]
/// fn process(content: &str) -> usize {
///     content.len()
/// }
///
/// #[profile(name = "content_processing", crate = veritas_profile)]
/// async fn process_later(content: String) -> usize {
///     content.len()
/// }
///
/// process("text");
/// assert_eq!(veritas_profile::profile("process").map(|profile| profile.calls), Some(1));
/// ```
///
/// # Options
///
/// - `#[profile("name")]` or `name = "name"`: the name of the profile.
/// - `arguments`: also tells how often the arguments repeat. Each must be `Hash`;
///   a method lists what its result depends on: `arguments(id, self.version)`.
/// - `crate = path`: where to find `veritas::profile`'s items, instead of there.
///
/// # What is counted
///
/// Functions, methods, `async fn`, generic and `unsafe` functions, functions that
/// return `impl Trait`. A panic is an error. So is an `Err` when the written return
/// type is called a `Result` (its name ends so) and names no `impl Trait`; such a
/// body runs in a closure, so `#[track_caller]` functions are spared that, and of
/// them only panics are errors. A `fn` that returns a future or an iterator is timed
/// until it has made it.
///
/// # Errors
///
/// A `const fn` cannot be profiled (it may run in the compiler), nor a function
/// without a body.
#[proc_macro_attribute]
pub fn profile(options: TokenStream, function: TokenStream) -> TokenStream {
    profile::expand(options.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
