//! `#[profile]`: writes the site and the call around a function's body.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{FnArg, Ident, ItemFn, Pat, ReturnType, Signature, Type, spanned::Spanned};

use crate::options::{Arguments, Named, ProfileOptions};

pub(crate) fn expand(options: TokenStream, function: TokenStream) -> syn::Result<TokenStream> {
    let ProfileOptions { named, arguments } = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(function)
        .map_err(|error| syn::Error::new(error.span(), "`#[profile]` goes on a function with a body"))?;
    if let Some(word) = &function.sig.constness {
        let message = "a `const fn` cannot be profiled: it may run in the compiler, which has no clock";
        return Err(syn::Error::new(word.span(), message));
    }
    let path = named.crate_path.as_ref().map_or_else(|| quote!(::veritas::profile), |path| quote!(#path));
    let ItemFn { attrs, vis, sig, block } = &function;
    let site = site(&named, &path, &sig.ident);
    let noted = note_arguments(&arguments, &path, sig)?;
    let failable = failable(&function);
    let call = match (&sig.asyncness, failable) {
        (None, None) => quote! {
            let __veritas_guard = #path::enter(&__VERITAS_SITE);
            #block
        },
        (None, Some(output)) => {
            let failed = is_failure(&path, output);
            quote!(#path::run(&__VERITAS_SITE, move || -> #output #block, #failed))
        }
        (Some(_), None) => quote!(#path::in_future(&__VERITAS_SITE, async move #block).await),
        (Some(_), Some(output)) => {
            let failed = is_failure(&path, output);
            quote!(#path::run_future(&__VERITAS_SITE, async move #block, #failed).await)
        }
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #site
            #noted
            #call
        }
    })
}

fn site(named: &Named, path: &TokenStream, ident: &Ident) -> TokenStream {
    let name = named.name_or(ident);
    // The line is the function's, not the attribute's.
    let line = quote_spanned!(ident.span()=> ::core::line!());
    quote! {
        static __VERITAS_SITE: #path::Site =
            #path::Site::new(#name, ::core::module_path!(), ::core::file!(), #line);
    }
}

fn note_arguments(arguments: &Arguments, path: &TokenStream, sig: &Signature) -> syn::Result<TokenStream> {
    let listed: Vec<TokenStream> = match arguments {
        Arguments::Unobserved => return Ok(TokenStream::new()),
        Arguments::Listed(listed) => listed.iter().map(|one| quote!(#one)).collect(),
        Arguments::All(word) => {
            sig.inputs.iter().map(|input| parameter(input, *word)).collect::<syn::Result<_>>()?
        }
    };
    // Spanned, so that "does not implement Hash" points at the argument.
    let borrowed = listed.iter().map(|one| quote_spanned!(one.span()=> &(#one)));
    Ok(quote!(#path::arguments(&__VERITAS_SITE, &(#(#borrowed,)*));))
}

fn parameter(input: &FnArg, word: proc_macro2::Span) -> syn::Result<TokenStream> {
    match input {
        FnArg::Receiver(_) => Err(syn::Error::new(
            word,
            "of a method, list what its result depends on: `arguments(id, self.version)`",
        )),
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(name) => {
                let name = &name.ident;
                Ok(quote!(#name))
            }
            pattern => Err(syn::Error::new(
                pattern.span(),
                "list the arguments, since this one has no name: `arguments(…)`",
            )),
        },
    }
}

/// Returns the written return type when it may hold an error: it is called a
/// `Result`, it can be written as the type of a closure, and the closure changes
/// nothing (`Location::caller()` would be another in it).
fn failable(function: &ItemFn) -> Option<&Type> {
    let ReturnType::Type(_, output) = &function.sig.output else { return None };
    let Type::Path(path) = &**output else { return None };
    let called_result = path.path.segments.last()?.ident.to_string().ends_with("Result");
    let tracked = function.attrs.iter().any(|attribute| attribute.path().is_ident("track_caller"));
    (called_result && !tracked && !names_impl(quote!(#output))).then_some(output)
}

fn names_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(word) => word == "impl",
        proc_macro2::TokenTree::Group(group) => names_impl(group.stream()),
        _ => false,
    })
}

/// Asks the returned value, whose type may be called a `Result` without being one.
fn is_failure(path: &TokenStream, output: &Type) -> TokenStream {
    quote! {
        |__veritas_output: &#output| {
            #[allow(unused_imports, reason = "needed when the type is no standard Result")]
            use #path::outcome::Neutral as _;
            #path::outcome::Probe(__veritas_output).is_failure()
        }
    }
}
