//! Functions, methods, generics: each is itself, and each call is its arguments.

use std::{borrow::Cow, fmt::Debug, marker::PhantomData};

use veritas_cache::{
    KeyPart,
    function::FunctionState::{Cached, NameTaken},
};
use veritas_macros::{cached, profile};

use super::{asked, installed, ready};

const HERE: &str = "it::cached::shapes::";

#[cached(crate = veritas_cache)]
fn plain(mut id: u64, name: &str) -> String {
    id += 1;
    format!("{id}{name}")
}

#[cached("renamed", crate = ::veritas_cache)]
fn given_a_name(r#type: u8) -> u8 {
    r#type
}

#[cached(crate = veritas_cache)]
fn without_arguments() -> usize {
    7
}

#[cached(crate = veritas_cache)]
pub(super) async fn later(id: u64, names: &[&str]) -> String {
    std::future::ready(()).await;
    format!("{id}{names:?}")
}

#[cached(crate = veritas_cache)]
fn generic<'a, T: KeyPart + ?Sized, const N: usize>(value: &'a T, _numbers: [u8; N]) -> usize
where
    &'a T: Debug,
{
    size_of_val(value) + N
}

#[cached(crate = veritas_cache)]
fn of_anything(value: impl KeyPart + Debug) -> String {
    format!("{value:?}{}", std::any::type_name_of_val(&value))
}

#[cached(name = "borrowing", crate = veritas_cache)]
fn borrowing<'a>(text: Cow<'a, str>, numbers: Option<&'a [i32]>) -> usize {
    text.len() + numbers.map_or(0, <[i32]>::len)
}

/// # Safety
///
/// It has none to break.
#[cached(crate = veritas_cache)]
unsafe fn dangerous(id: u8) -> u8 {
    id
}

#[cached(crate = veritas_cache)]
extern "C" fn foreign(id: u8) -> u8 {
    id
}

#[cached(crate = veritas_cache)]
fn fibonacci(n: u64) -> u64 {
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

#[cached(ignore(connection), crate = veritas_cache)]
fn asks(connection: &mut Vec<u64>, id: u64) -> usize {
    connection.push(id);
    connection.len()
}

#[cached(key((first, id), name.len()), crate = veritas_cache)]
fn explicit((first, _second): (u8, u8), id: u64, name: &str) -> String {
    format!("{first}{id}{name}")
}

struct Shop {
    tenant: usize,
    asked: Vec<String>,
}

impl Shop {
    #[cached(key(self.tenant, item), crate = veritas_cache)]
    fn price(&self, item: &str) -> usize {
        item.len() + self.tenant
    }

    #[cached(name = "stock", key(self.tenant, item), crate = veritas_cache)]
    async fn stock(&mut self, item: String) -> Option<usize> {
        self.asked.push(item);
        Some(self.asked.len())
    }

    #[cached(ignore(self), crate = veritas_cache)]
    fn shared_by_all(self: &std::sync::Arc<Self>, item: &str) -> usize {
        self.tenant + item.len()
    }

    #[cached(crate = veritas_cache)]
    fn same_name(id: u8) -> &'static str {
        if id == 0 { "none" } else { "shop" }
    }
}

struct Bank;

impl Bank {
    #[cached(crate = veritas_cache)]
    fn same_name(id: u8) -> &'static str {
        if id == 0 { "none" } else { "bank" }
    }
}

struct Typed<T>(PhantomData<T>);

impl<T: 'static> Typed<T> {
    #[cached(crate = veritas_cache)]
    fn size(times: usize) -> usize {
        size_of::<T>() * times
    }
}

trait Named {
    fn name(&self, id: u8) -> &'static str;

    #[cached(ignore(self), crate = veritas_cache)]
    fn defaulted(&self, id: u8) -> String {
        format!("{}{id}", std::any::type_name::<Self>().len())
    }
}

impl Named for Shop {
    #[cached(ignore(self), crate = veritas_cache)]
    fn name(&self, _id: u8) -> &'static str {
        "shop"
    }
}

impl<T> Named for Typed<T> {
    #[cached(ignore(self), crate = veritas_cache)]
    fn name(&self, _id: u8) -> &'static str {
        std::any::type_name::<T>()
    }
}

struct Cat;
struct Dog;

trait Animal {
    const LEGS: u8;

    #[cached(ignore(self), crate = veritas_cache)]
    fn legs(&self) -> u8 {
        Self::LEGS
    }
}

impl Animal for Cat {
    const LEGS: u8 = 4;
}

impl Animal for Dog {
    const LEGS: u8 = 3;
}

trait Counts {
    fn count(&self, of: u8) -> u8;
}

impl<T: Animal> Counts for T {
    #[cached("counted legs", ignore(self), crate = veritas_cache)]
    fn count(&self, of: u8) -> u8 {
        T::LEGS * of
    }
}

#[profile(name = "runs of the body", crate = veritas_profile)]
#[cached(crate = veritas_cache)]
fn profile_above(id: u8) -> u8 {
    id
}

#[cached(crate = veritas_cache)]
#[profile(name = "all calls", crate = veritas_profile)]
fn profile_below(id: u8) -> u8 {
    id
}

#[profile(name = "runs of the future", crate = veritas_profile)]
#[cached(crate = veritas_cache)]
async fn profile_above_async(id: u8) -> Result<u8, String> {
    if id == 0 {
        Err("zero".to_owned())?;
    }
    Ok(id)
}

#[test]
fn equal_calls_run_once_and_others_do_not() {
    installed();
    assert_eq!(
        (plain(1, "a"), plain(1, "a"), plain(1, "b"), plain(2, "a")),
        ("2a".into(), "2a".into(), "2b".into(), "3a".into())
    );
    assert_eq!(asked(&format!("{HERE}plain")), (1, 3));
    assert_eq!((given_a_name(1), given_a_name(1)), (1, 1));
    assert_eq!(asked("renamed"), (1, 1));
    assert_eq!((without_arguments(), without_arguments()), (7, 7));
    assert_eq!(asked(&format!("{HERE}without_arguments")), (1, 1));
    assert_eq!(ready(later(1, &["a", "b"])), ready(later(1, &["a", "b"])));
    assert_eq!(ready(later(1, &["a b"])), "1[\"a b\"]");
    assert_eq!(asked(&format!("{HERE}later")), (1, 2));
    assert_eq!(
        (borrowing("ab".into(), Some(&[1])), borrowing(Cow::Owned("ab".to_owned()), Some(&[1]))),
        (3, 3)
    );
    assert_eq!(asked("borrowing"), (1, 1));
    assert_eq!((foreign(1), foreign(1)), (1, 1));
    assert_eq!(asked(&format!("{HERE}foreign")), (1, 1));
    #[expect(unsafe_code, reason = "the macro must keep the word")]
    // SAFETY: it has none to break.
    let both = unsafe { (dangerous(1), dangerous(1)) };
    assert_eq!((both, asked(&format!("{HERE}dangerous"))), ((1, 1), (1, 1)));
    assert_eq!(fibonacci(80), 23_416_728_348_467_685);
    assert_eq!(asked(&format!("{HERE}fibonacci")), (78, 81));
}

#[test]
fn what_is_ignored_or_not_in_the_key_does_not_matter() {
    installed();
    let mut connection = Vec::new();
    assert_eq!((asks(&mut connection, 1), asks(&mut connection, 1), asks(&mut connection, 2)), (1, 1, 2));
    assert_eq!(connection, [1, 2]);
    assert_eq!((explicit((1, 2), 3, "a"), explicit((1, 9), 3, "b")), ("13a".into(), "13a".into()));
    assert_eq!(explicit((1, 2), 3, "ab"), "13ab");
}

#[test]
fn the_types_of_a_generic_function_are_part_of_the_call() {
    installed();
    assert_eq!((generic(&1_u8, [1]), generic(&1_u64, [1]), generic(&1_u8, [1])), (2, 9, 2));
    assert_eq!((generic("ab", [1, 2]), generic("ab", [1])), (4, 3));
    assert_eq!(asked(&format!("{HERE}generic")), (1, 4));
    assert_eq!((of_anything(1_u8), of_anything(1_i64)), ("1u8".into(), "1i64".into()));
    assert_eq!((Typed::<u8>::size(3), Typed::<u64>::size(3), Typed::<u8>::size(3)), (3, 24, 3));
    assert_eq!(asked(&format!("{HERE}Typed::size")), (1, 2));
    assert_eq!((Typed::<u8>(PhantomData).name(1), Typed::<i8>(PhantomData).name(1)), ("u8", "i8"));
    assert_ne!(Typed::<u8>(PhantomData).defaulted(1), Shop { tenant: 0, asked: Vec::new() }.defaulted(1));
}

#[test]
fn types_that_share_the_method_of_a_trait_do_not_meet() {
    installed();
    assert_eq!((Cat.legs(), Dog.legs(), Cat.legs()), (4, 3, 4));
    assert_eq!(asked(&format!("{HERE}Animal::legs")), (1, 2));
    assert_eq!((Cat.count(2), Dog.count(2), Cat.count(2)), (8, 6, 8));
    assert_eq!(asked("counted legs"), (1, 2));
}

#[test]
fn methods_of_one_name_do_not_meet() {
    installed();
    let mut shop = Shop { tenant: 3, asked: Vec::new() };
    let other = Shop { tenant: 4, asked: Vec::new() };
    assert_eq!((shop.price("apple"), shop.price("apple"), other.price("apple")), (8, 8, 9));
    assert_eq!(asked(&format!("{HERE}Shop::price")), (1, 2));
    assert_eq!((ready(shop.stock("a".into())), ready(shop.stock("a".into()))), (Some(1), Some(1)));
    assert_eq!(ready(shop.stock("b".into())), Some(2));
    let shop = std::sync::Arc::new(shop);
    assert_eq!((shop.shared_by_all("a"), std::sync::Arc::new(other).shared_by_all("a")), (4, 4));
    assert_eq!((Shop::same_name(1), Bank::same_name(1)), ("shop", "bank"));
    assert_eq!(shop.name(1), "shop");
    assert_eq!(asked(&format!("<{HERE}Shop as {HERE}Named>::name")), (0, 1));
}

#[test]
fn inner_functions_of_one_path_do_not_take_each_others_results() {
    installed();
    let first = {
        #[cached(crate = veritas_cache)]
        fn inner(_id: u8) -> u8 {
            1
        }
        (inner(0), inner(0))
    };
    let second = {
        #[cached(crate = veritas_cache)]
        fn inner(_id: u8) -> u8 {
            2
        }
        (inner(0), inner(0))
    };
    assert_eq!((first, second), ((1, 1), (2, 2)));
    let path = format!("{HERE}inner_functions_of_one_path_do_not_take_each_others_results::inner");
    let readings: Vec<_> =
        veritas_cache::function::functions().into_iter().filter(|reading| reading.name == path).collect();
    let states: Vec<_> = readings.iter().map(|reading| (reading.state, reading.uncached_calls)).collect();
    assert_eq!(states, [(Cached, 0), (NameTaken, 2)]);
    assert!(readings[0].file.ends_with("shapes.rs") && readings[0].line > 100);
}

#[test]
fn profiling_composes_in_both_orders() {
    installed();
    let calls = |name: &str| veritas_profile::profile(name).map_or(0, |profile| profile.calls);
    assert_eq!((profile_above(1), profile_above(1)), (1, 1));
    assert_eq!((profile_below(1), profile_below(1)), (1, 1));
    assert_eq!((calls("runs of the body"), calls("all calls")), (1, 2));
    assert_eq!((ready(profile_above_async(1)), ready(profile_above_async(1))), (Ok(1), Ok(1)));
    assert!(ready(profile_above_async(0)).is_err());
    assert_eq!(calls("runs of the future"), 2);
}

#[test]
fn a_cached_future_is_send_when_its_body_is() {
    fn check<T: Send>(_future: &T) {}
    check(&later(1, &[]));
}
