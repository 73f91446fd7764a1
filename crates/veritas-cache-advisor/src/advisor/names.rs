//! Names: from a key's hash to the key as text.

use veritas_cache::Caches;

/// Finds the key of a sampling hash among those that are held.
///
/// Keys are listed in the order of these hashes, so a page that begins right before one
/// begins with its key. Where the listing goes on tells whose key it was.
pub(crate) fn key_text(caches: &Caches, namespace: &str, hash: &str) -> Option<String> {
    let before = u64::from_str_radix(hash, 16).ok()?.checked_sub(1)?;
    let page = caches.keys(namespace, Some(&format!("0-{before:016x}")), 1).ok()?;
    let is_it = page.next.as_deref().and_then(|next| next.split_once('-')).is_some_and(|(_, at)| at == hash);
    page.keys.into_iter().next().filter(|_| is_it).map(|reading| reading.key)
}
