//! Functions of every shape keep their meaning, and are counted.

use std::{
    fmt::Display,
    future::Future,
    panic::Location,
    pin::pin,
    task::{Context, Poll, Waker},
};

use veritas_macros::profile;

fn calls(name: &str) -> (u64, u64) {
    veritas_profile::profile(name).map_or((0, 0), |profile| (profile.calls, profile.errors))
}

fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("these futures never wait"),
    }
}

#[profile(crate = veritas_profile)]
fn plain(mut text: String) -> String {
    text.push('!');
    text
}

#[profile("renamed function", crate = ::veritas_profile)]
fn renamed() {}

#[profile(crate = veritas_profile)]
fn r#match<'a, T: Display + ?Sized, const N: usize>(
    value: &'a T,
    (first, _): (u8, [u8; N]),
) -> impl Display + use<'a, T, N> {
    format!("{value}{first}")
}

#[profile(crate = veritas_profile)]
fn question(text: &str) -> Result<u32, std::num::ParseIntError> {
    let number: u32 = text.parse()?;
    if number > 100 {
        return Ok(100);
    }
    Ok(number)
}

#[profile(crate = veritas_profile)]
fn impl_in_result(good: bool) -> Result<impl Display, String> {
    if good { Ok(1) } else { Err("no".to_owned()) }
}

mod own {
    pub(crate) type LocalResult<T> = Result<T, ()>;

    /// Not what it is called.
    pub(crate) struct QueryResult(pub(crate) u8);
}

#[profile(crate = veritas_profile)]
fn aliased(good: bool) -> own::LocalResult<u8> {
    if good { Ok(1) } else { Err(()) }
}

#[profile(crate = veritas_profile)]
fn no_result() -> own::QueryResult {
    own::QueryResult(7)
}

struct Store {
    values: Vec<String>,
}

trait Lookup {
    fn lookup(&self, index: usize) -> Result<&str, ()>;
}

impl Lookup for Store {
    #[profile(name = "Store::lookup", arguments(index, self.values.len()), crate = veritas_profile)]
    fn lookup(&self, index: usize) -> Result<&str, ()> {
        self.values.get(index).map(String::as_str).ok_or(())
    }
}

impl Store {
    #[profile(crate = veritas_profile)]
    fn last_mut(&mut self) -> Result<&mut String, ()> {
        self.values.last_mut().ok_or(())
    }

    #[profile(crate = veritas_profile)]
    async fn first(&self) -> Option<&str> {
        std::future::ready(()).await;
        self.values.first().map(String::as_str)
    }

    #[profile(crate = veritas_profile)]
    async fn push(&mut self, value: &str) -> Result<usize, String> {
        if value.is_empty() {
            Err("empty".to_owned())?;
        }
        self.values.push(value.to_owned());
        Ok(self.values.len())
    }
}

/// # Safety
///
/// It has none to break.
#[profile(crate = veritas_profile)]
unsafe fn dangerous() -> u8 {
    1
}

#[profile(crate = veritas_profile)]
extern "C" fn foreign(value: u8) -> u8 {
    value + 1
}

#[profile(crate = veritas_profile)]
#[track_caller]
#[expect(clippy::unnecessary_wraps, reason = "the type is what is tested")]
fn tracked() -> Result<u32, ()> {
    Ok(Location::caller().line())
}

#[profile(arguments, crate = veritas_profile)]
fn repeated(id: u64, name: &str) -> usize {
    name.len() + usize::try_from(id).unwrap_or(0)
}

#[profile(crate = veritas_profile)]
fn recursive(depth: u32) -> u32 {
    if depth == 0 { 0 } else { 1 + recursive(depth - 1) }
}

#[test]
fn functions_keep_their_meaning_and_are_counted() {
    assert_eq!(plain("a".to_owned()), "a!");
    assert_eq!(calls("plain"), (1, 0));
    renamed();
    assert_eq!(calls("renamed function"), (1, 0));
    assert_eq!(r#match("x", (7, [1, 2])).to_string(), "x7");
    assert_eq!(calls("match"), (1, 0));
    assert_eq!(recursive(50), 50);
    assert_eq!(calls("recursive"), (51, 0));
    assert_eq!(foreign(1), 2);
    assert_eq!(calls("foreign"), (1, 0));
    #[expect(unsafe_code, reason = "the macro must keep the word")]
    // SAFETY: it has none to break.
    let one = unsafe { dangerous() };
    assert_eq!((one, calls("dangerous")), (1, (1, 0)));
}

#[test]
fn an_err_is_an_error_whatever_the_result_is_called() {
    assert_eq!((question("7"), question("700")), (Ok(7), Ok(100)));
    assert!(question("x").is_err());
    assert_eq!(calls("question"), (3, 1));
    assert_eq!((aliased(true), aliased(false)), (Ok(1), Err(())));
    assert_eq!(calls("aliased"), (2, 1));
    assert_eq!(no_result().0, 7);
    assert_eq!(calls("no_result"), (1, 0));
    // Documented: with `impl Trait` in the type, only panics are errors.
    assert!(impl_in_result(true).is_ok() && impl_in_result(false).is_err());
    assert_eq!(calls("impl_in_result"), (2, 0));
}

#[test]
fn methods_may_return_what_they_borrow() {
    let mut store = Store { values: vec!["a".to_owned()] };
    assert_eq!((store.lookup(0), store.lookup(1)), (Ok("a"), Err(())));
    assert_eq!(calls("Store::lookup"), (2, 1));
    store.last_mut().unwrap().push('b');
    assert_eq!(ready(store.first()), Some("ab"));
    assert_eq!((ready(store.push("c")), ready(store.push(""))), (Ok(2), Err("empty".to_owned())));
    assert_eq!((calls("first"), calls("push")), ((1, 0), (2, 1)));
    assert_eq!(veritas_profile::profile("push").unwrap().polling.unwrap().polls, 2);
}

#[test]
fn the_caller_of_a_tracked_function_stays_its_caller() {
    assert_eq!((tracked(), calls("tracked")), (Ok(line!()), (1, 0)));
}

#[test]
fn repeated_arguments_are_seen() {
    for call in 0..10 {
        assert_eq!(repeated(call % 2, "name"), 4 + usize::try_from(call % 2).unwrap());
    }
    let seen = veritas_profile::profile("repeated").unwrap().distinct_arguments.unwrap();
    assert_eq!((seen.calls, seen.distinct), (10, 2));
    let looked_up = veritas_profile::profile("repeated").unwrap();
    assert!(looked_up.file.ends_with("shapes.rs") && looked_up.line > 1);
}
