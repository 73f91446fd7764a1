//! `#[query]`: writes a label around a function's body.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    ItemFn, LitStr, Path, Token,
    parse::{Parse, ParseStream},
};

/// The options of `#[query]`.
struct Options {
    name: Option<LitStr>,
    crate_path: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self { name: None, crate_path: None };
        while !input.is_empty() {
            options.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            return self.set_name(input.parse()?);
        }
        if input.peek(Token![crate]) {
            let word = input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            if self.crate_path.replace(input.call(Path::parse_mod_style)?).is_some() {
                return Err(syn::Error::new(word.span, "`crate` is given twice"));
            }
            return Ok(());
        }
        let option: syn::Ident = input.parse()?;
        if option == "name" {
            input.parse::<Token![=]>()?;
            return self.set_name(input.parse()?);
        }
        let message = format!("unknown option `{option}`: there are `name = \"…\"` and `crate = …`");
        Err(syn::Error::new(option.span(), message))
    }

    fn set_name(&mut self, name: LitStr) -> syn::Result<()> {
        if self.name.is_some() {
            return Err(syn::Error::new(name.span(), "the name is given twice"));
        }
        if name.value().trim().is_empty() {
            return Err(syn::Error::new(name.span(), "a query's name is not empty"));
        }
        self.name = Some(name);
        Ok(())
    }
}

pub(crate) fn expand(options: TokenStream, function: TokenStream) -> syn::Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(function)
        .map_err(|error| syn::Error::new(error.span(), "`#[query]` goes on a function with a body"))?;
    if let Some(word) = &function.sig.constness {
        let message = "a `const fn` runs no queries: it may run in the compiler";
        return Err(syn::Error::new(word.span, message));
    }
    let path = options.crate_path.as_ref().map_or_else(|| quote!(::veritas::database), |path| quote!(#path));
    let ItemFn { attrs, vis, sig, block } = &function;
    let name = options.name.as_ref().map_or_else(
        // A raw identifier is called by its name: `r#match` is "match".
        || sig.ident.to_string().trim_start_matches("r#").to_owned(),
        LitStr::value,
    );
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
