//! What attributes are given in their parentheses.

use syn::{
    Expr, Ident, LitStr, Path, Token,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    token::Paren,
};

/// What every attribute on a function takes: another name than the function's, and where our
/// crate is found.
#[derive(Default)]
pub(crate) struct Named {
    pub(crate) name: Option<LitStr>,
    pub(crate) crate_path: Option<Path>,
}

impl Named {
    /// Reads options up to the end; what is none of ours is given to `other`, by its name.
    pub(crate) fn parse(
        input: ParseStream<'_>,
        mut other: impl FnMut(Ident, ParseStream<'_>) -> syn::Result<()>,
    ) -> syn::Result<Self> {
        let mut named = Self::default();
        while !input.is_empty() {
            named.parse_one(input, &mut other)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(named)
    }

    fn parse_one(
        &mut self,
        input: ParseStream<'_>,
        other: &mut impl FnMut(Ident, ParseStream<'_>) -> syn::Result<()>,
    ) -> syn::Result<()> {
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
        let option: Ident = input.parse()?;
        if option == "name" {
            input.parse::<Token![=]>()?;
            return self.set_name(input.parse()?);
        }
        other(option, input)
    }

    fn set_name(&mut self, name: LitStr) -> syn::Result<()> {
        if self.name.is_some() {
            return Err(syn::Error::new(name.span(), "the name is given twice"));
        }
        self.name = Some(name);
        Ok(())
    }

    /// Returns the name that was given, or the function's own. A raw identifier is called by its
    /// name: `r#match` is "match".
    pub(crate) fn name_or(&self, ident: &Ident) -> String {
        let own = || ident.to_string().trim_start_matches("r#").to_owned();
        self.name.as_ref().map_or_else(own, LitStr::value)
    }
}

/// Whose repetition is to be counted.
pub(crate) enum Arguments {
    /// Nobody asked.
    Unobserved,
    /// Every parameter; the word stands for its place in the source.
    All(proc_macro2::Span),
    /// These.
    Listed(Vec<Expr>),
}

/// The options of `#[profile]`.
pub(crate) struct ProfileOptions {
    pub(crate) named: Named,
    pub(crate) arguments: Arguments,
}

impl Parse for ProfileOptions {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Arguments::Unobserved;
        let named = Named::parse(input, |option, input| {
            if option != "arguments" {
                let message = format!(
                    "unknown option `{option}`: there are `name = \"…\"`, `arguments`, `arguments(…)` and `crate = …`"
                );
                return Err(syn::Error::new(option.span(), message));
            }
            if !matches!(arguments, Arguments::Unobserved) {
                return Err(syn::Error::new(option.span(), "`arguments` is given twice"));
            }
            arguments = if input.peek(Paren) {
                let listed;
                syn::parenthesized!(listed in input);
                let listed = Punctuated::<Expr, Token![,]>::parse_terminated(&listed)?;
                Arguments::Listed(listed.into_iter().collect())
            } else {
                Arguments::All(option.span())
            };
            Ok(())
        })?;
        Ok(Self { named, arguments })
    }
}

/// The options of `#[query]`.
pub(crate) struct QueryOptions {
    pub(crate) named: Named,
}

impl Parse for QueryOptions {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let named = Named::parse(input, |option, _| {
            let message = format!("unknown option `{option}`: there are `name = \"…\"` and `crate = …`");
            Err(syn::Error::new(option.span(), message))
        })?;
        match &named.name {
            Some(name) if name.value().trim().is_empty() => {
                Err(syn::Error::new(name.span(), "a query's name is not empty"))
            }
            _ => Ok(Self { named }),
        }
    }
}
