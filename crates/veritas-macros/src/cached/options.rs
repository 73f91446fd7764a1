//! The options of `#[cached]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Expr, Ident, LitFloat, LitInt, LitStr, Path, Token,
    ext::IdentExt as _,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use super::literal;

const KNOWN: &str = "`name`, `ttl`, `negative_ttl`, `stale`, `early_refresh`, `jitter`, `capacity`, `max_value`, \
                     `version`, `key(...)`, `ignore(...)`, `tags(...)`, `in`, `refresh`, `dormant` and `crate`";

/// The options of `#[cached]`.
#[derive(Default)]
pub(super) struct Options {
    pub(super) name: Option<LitStr>,
    /// The method of `Function` and its argument, as they were read.
    pub(super) settings: Vec<(Ident, TokenStream)>,
    pub(super) key: Option<Vec<Expr>>,
    pub(super) ignored: Vec<Ident>,
    pub(super) tags: Vec<LitStr>,
    pub(super) keep: Option<Expr>,
    /// Whether refreshes run in the background.
    pub(super) refresh: bool,
    pub(super) crate_path: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        let mut given = Vec::new();
        while !input.is_empty() {
            if input.peek(LitStr) {
                given.push("name".to_owned());
                options.name = Some(input.parse()?);
            } else {
                // `in` and `crate` are keywords.
                let option = input.call(Ident::parse_any)?;
                let word = option.to_string();
                if given.contains(&word) {
                    return Err(syn::Error::new(option.span(), format!("`{word}` is given twice")));
                }
                options.parse_one(&option, &word, input)?;
                given.push(word);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, option: &Ident, word: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match word {
            "name" => self.name = Some(value(input)?),
            "ttl" | "negative_ttl" | "stale" => {
                let time = literal::time(&value(input)?)?;
                // Text of less than 2^64 milliseconds.
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.settings.push((option.clone(), quote!(::core::time::Duration::from_millis(#millis))));
            }
            "capacity" | "max_value" => {
                let bytes = literal::size(&value(input)?)?;
                self.settings.push((option.clone(), quote!(#bytes)));
            }
            "early_refresh" => self.set_share(option, input, 100.0)?,
            "jitter" => self.set_share(option, input, 0.5)?,
            "version" => {
                let version: LitInt = value(input)?;
                if version.base10_parse::<u32>().is_err() {
                    let message = "`version` is a whole number from 0 to 4294967295";
                    return Err(syn::Error::new(version.span(), message));
                }
                self.settings.push((option.clone(), quote!(#version)));
            }
            "dormant" => self.settings.push((option.clone(), TokenStream::new())),
            "refresh" => self.refresh = true,
            "key" => {
                let parts: Vec<Expr> = listed(input)?;
                if parts.is_empty() {
                    let message =
                        "an empty key makes one result of all calls; if that is meant, say `key(())`";
                    return Err(syn::Error::new(option.span(), message));
                }
                self.key = Some(parts);
            }
            "ignore" => {
                let inside;
                syn::parenthesized!(inside in input);
                let names = inside.parse_terminated(Ident::parse_any, Token![,])?;
                self.ignored = names.into_iter().collect();
            }
            "tags" => self.tags = listed(input)?,
            "in" => self.keep = Some(value(input)?),
            "crate" => {
                input.parse::<Token![=]>()?;
                self.crate_path = Some(input.call(Path::parse_mod_style)?);
            }
            _ => {
                return Err(syn::Error::new(
                    option.span(),
                    format!("unknown option `{word}`: there are {KNOWN}"),
                ));
            }
        }
        Ok(())
    }

    /// Reads a number from 0 to `most`.
    fn set_share(&mut self, option: &Ident, input: ParseStream<'_>, most: f64) -> syn::Result<()> {
        input.parse::<Token![=]>()?;
        let (share, span) = if input.peek(LitInt) {
            let number: LitInt = input.parse()?;
            (f64::from(number.base10_parse::<u32>()?), number.span())
        } else {
            let number: LitFloat = input.parse()?;
            (number.base10_parse::<f64>()?, number.span())
        };
        if !(0.0..=most).contains(&share) {
            return Err(syn::Error::new(span, format!("`{option}` is a number from 0 to {most}")));
        }
        self.settings.push((option.clone(), quote!(#share)));
        Ok(())
    }
}

fn value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn listed<T: Parse>(input: ParseStream<'_>) -> syn::Result<Vec<T>> {
    let inside;
    syn::parenthesized!(inside in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&inside)?.into_iter().collect())
}
