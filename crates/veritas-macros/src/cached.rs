//! `#[cached]`: writes the function's static, the key of the call and the call around the body.

mod key;
mod literal;
mod options;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{FnArg, ItemFn, ReturnType, Type, spanned::Spanned};

use options::Options;

pub(crate) fn expand(options: TokenStream, function: TokenStream) -> syn::Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(function)
        .map_err(|error| syn::Error::new(error.span(), "`#[cached]` goes on a function with a body"))?;
    let output = returned(&function)?;
    if options.refresh {
        refuse_borrowed(&function.sig)?;
    }
    let path = options.crate_path.as_ref().map_or_else(|| quote!(::veritas::cache), |path| quote!(#path));
    let tags = options.tags.iter().map(|tag| quote_spanned!(tag.span()=> ::std::format!(#tag)));
    let tags = quote!(::std::vec![#(#tags),*]);
    let path = quote!(#path::function);
    let ItemFn { attrs, vis, sig, block } = &function;
    let described = describe(&options, &path, sig);
    let key = key::write(&options, sig)?;
    let (keep, keep_span) = match &options.keep {
        Some(keep) => (quote!(#keep), keep.span()),
        None => (quote!(#path::Installed), output.span()),
    };
    // Spanned, so that what cannot keep and what cannot be kept is pointed at.
    let place = quote_spanned!(keep_span=> __veritas_keep);
    let shape = quote_spanned!(output.span()=> __veritas_shape);
    let (body, wait) = match &sig.asyncness {
        Some(_) => (quote!(#path::returning(&__veritas_output, async move #block)), Some(quote!(.await))),
        None => (quote!(move || -> #output #block), None),
    };
    let called = match (options.refresh, sig.asyncness.is_some()) {
        (false, false) => quote!(call),
        (false, true) => quote!(call_async),
        (true, false) => quote!(call_refreshing),
        (true, true) => quote!(call_refreshing_async),
    };
    let call = quote! {
        #path::#called(#place, &__VERITAS_FUNCTION, &__veritas_key, #shape, move || (#tags, #body)) #wait
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #described
            #key
            let __veritas_keep = &#keep;
            let __veritas_output = #path::Of::<#output>::new();
            let __veritas_shape = {
                #[allow(unused_imports, reason = "one of them fits")]
                use #path::pick::{IsFallible as _, IsFallibleOptional as _, IsOptional as _, IsPlain as _};
                (&&&__veritas_output).shape()
            };
            #call
        }
    })
}

/// Returns the written return type, when results of it can be kept.
fn returned(function: &ItemFn) -> syn::Result<&Type> {
    let sig = &function.sig;
    if let Some(word) = &sig.constness {
        let message = "a `const fn` cannot be cached: it may run in the compiler, which has no cache";
        return Err(syn::Error::new(word.span(), message));
    }
    if let Some(dots) = &sig.variadic {
        return Err(syn::Error::new(
            dots.span(),
            "a variadic function cannot be cached: its arguments have no types",
        ));
    }
    let output = match &sig.output {
        ReturnType::Type(_, output) if !is_nothing(output) => &**output,
        _ => {
            let message = "a function that returns nothing cannot be cached: there is nothing to keep";
            return Err(syn::Error::new(sig.ident.span(), message));
        }
    };
    refuse_unkept(output)?;
    Ok(output)
}

fn is_nothing(output: &Type) -> bool {
    match output {
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        Type::Never(_) => true,
        _ => false,
    }
}

/// Refuses what cannot be kept, where the compiler would only speak of lifetimes.
fn refuse_unkept(output: &Type) -> syn::Result<()> {
    match output {
        Type::ImplTrait(unnamed) => Err(syn::Error::new(
            unnamed.span(),
            "name the type that is returned: `impl Trait` cannot be kept, since nobody can name it",
        )),
        Type::Reference(reference) => match &reference.lifetime {
            Some(lifetime) if lifetime.ident == "static" => Ok(()),
            _ => Err(syn::Error::new(
                reference.span(),
                "return what is owned (`String`, `Arc<str>`): a result outlives what the function borrows",
            )),
        },
        Type::Path(path) => {
            for segment in &path.path.segments {
                if let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments {
                    for argument in &arguments.args {
                        if let syn::GenericArgument::Type(inner) = argument {
                            refuse_unkept(inner)?;
                        }
                    }
                }
            }
            Ok(())
        }
        Type::Tuple(tuple) => tuple.elems.iter().try_for_each(refuse_unkept),
        _ => Ok(()),
    }
}

/// Refuses what a body in the background would borrow from a caller that has gone.
fn refuse_borrowed(sig: &syn::Signature) -> syn::Result<()> {
    for input in &sig.inputs {
        let borrowed = match input {
            FnArg::Receiver(receiver) => receiver.reference.is_some(),
            FnArg::Typed(typed) => match &*typed.ty {
                Type::Reference(reference) => {
                    reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static")
                }
                _ => false,
            },
        };
        if borrowed {
            let message = "`refresh` runs the body when its caller has gone: take what it needs by value \
                           (`String`, `Arc<T>`)";
            return Err(syn::Error::new(input.span(), message));
        }
    }
    Ok(())
}

/// Writes the static that describes the function.
fn describe(options: &Options, path: &TokenStream, sig: &syn::Signature) -> TokenStream {
    let none = || quote!(::core::option::Option::None);
    let name = options.name.as_ref().map_or_else(none, |name| quote!(::core::option::Option::Some(#name)));
    // The place is the function's, not the attribute's.
    let line = quote_spanned!(sig.ident.span()=> ::core::line!());
    let settings = options.settings.iter().map(|(method, value)| quote!(.#method(#value)));
    quote! {
        fn __veritas_item() {}
        static __VERITAS_FUNCTION: #path::Function =
            #path::Function::new(#name, ::core::file!(), #line)
                .declares(|| ::core::any::type_name_of_val(&__veritas_item)) #(#settings)*;
    }
}
