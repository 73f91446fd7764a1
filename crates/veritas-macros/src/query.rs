//! `#[query]`: writes a label around a function's body.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ItemFn;

use crate::options::QueryOptions;

pub(crate) fn expand(options: TokenStream, function: TokenStream) -> syn::Result<TokenStream> {
    let QueryOptions { named } = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(function)
        .map_err(|error| syn::Error::new(error.span(), "`#[query]` goes on a function with a body"))?;
    if let Some(word) = &function.sig.constness {
        let message = "a `const fn` runs no queries: it may run in the compiler";
        return Err(syn::Error::new(word.span, message));
    }
    let path = named.crate_path.as_ref().map_or_else(|| quote!(::veritas::database), |path| quote!(#path));
    let ItemFn { attrs, vis, sig, block } = &function;
    let name = named.name_or(&sig.ident);
    // The line is the function's, not the attribute's.
    let line = quote_spanned!(sig.ident.span()=> ::core::line!());
    let body = if sig.asyncness.is_some() {
        quote!(#path::label::in_future(&__VERITAS_SITE, async move #block).await)
    } else {
        quote! {
            let __veritas_label = #path::label::enter(&__VERITAS_SITE);
            #block
        }
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            static __VERITAS_SITE: #path::label::Site =
                #path::label::Site::new(#name, ::core::file!(), #line);
            #body
        }
    })
}
