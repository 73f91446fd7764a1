//! The key of a call: every argument by its name, or what `key(...)` says.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{FnArg, Pat, Signature, ext::IdentExt as _, spanned::Spanned};

use super::options::Options;

/// Writes `let __veritas_key = …`.
pub(super) fn write(options: &Options, sig: &Signature) -> syn::Result<TokenStream> {
    if let Some(parts) = &options.key {
        if let Some(ignored) = options.ignored.first() {
            let message = "`key(...)` says all that the result depends on: there is nothing left to ignore";
            return Err(syn::Error::new(ignored.span(), message));
        }
        let count = parts.len();
        // Spanned, so that "has no stable identity" points at the expression.
        let parts = parts.iter().map(|part| quote_spanned!(part.span()=> __veritas_key.part(&(#part));));
        return Ok(quote! {
            let mut __veritas_key = __VERITAS_FUNCTION.explicit_key(&|| (), #count);
            #(#parts)*
        });
    }
    let mut arguments = Vec::new();
    let mut ignored: Vec<_> = options.ignored.iter().collect();
    for input in &sig.inputs {
        let name = match input {
            FnArg::Receiver(receiver) => &syn::Ident::new("self", receiver.self_token.span),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => &name.ident,
                pattern => {
                    let message = "this argument has no name: give it one, or say the key with `key(...)`";
                    return Err(syn::Error::new(pattern.span(), message));
                }
            },
        };
        if let Some(place) = ignored.iter().position(|ignored| *ignored == name) {
            ignored.remove(place);
        } else if let FnArg::Receiver(receiver) = input {
            return Err(syn::Error::new(
                receiver.self_token.span,
                "say what of `self` the result depends on: `key(self.id, name)`; or leave it out: `ignore(self)`",
            ));
        } else {
            // A raw identifier is called by its name: `r#type` is "type".
            arguments.push((name.unraw().to_string(), quote!(#name), input.span()));
        }
    }
    if let Some(unknown) = ignored.first() {
        return Err(syn::Error::new(unknown.span(), format!("there is no argument `{unknown}` to ignore")));
    }
    arguments.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    let count = arguments.len();
    let arguments = arguments
        .iter()
        .map(|(name, argument, span)| quote_spanned!(*span=> __veritas_key.argument(#name, &#argument);));
    if count == 0 {
        return Ok(quote!(let __veritas_key = __VERITAS_FUNCTION.key(&|| (), 0);));
    }
    Ok(quote! {
        let mut __veritas_key = __VERITAS_FUNCTION.key(&|| (), #count);
        #[allow(clippy::used_underscore_binding, reason = "an argument counts, whatever it is called")]
        {
            #(#arguments)*
        }
    })
}
