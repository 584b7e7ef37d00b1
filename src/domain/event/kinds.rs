//! How the table of kinds becomes types. What it names is found where it is used.

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $word:literal {
        $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty),* $(,)?
    })+) => {
        /// The kind of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum EventKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl EventKind {
            /// All of them, in the order in which pages offer them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The word that is stored and shown, such as `sign_in`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }
        }

        /// The content of an event: everything except its time, its author, the user that it is
        /// about, and the address.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "content")]
        pub enum EventContent {
            $(
                $(#[doc = $doc])+
                #[serde(rename = $word)]
                $kind {
                    $(
                        $(#[doc = $field_doc])+
                        #[serde(default)]
                        $field: $type,
                    )*
                },
            )+
            /// An event of a kind, or with content, that this version cannot read: a newer node wrote it.
            #[serde(skip)]
            Other {
                /// The stored kind.
                kind: String,
                /// The stored content.
                content: Map<String, Value>,
            },
        }

        impl EventContent {
            /// The word of its kind.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$kind { .. } => $word,)+
                    Self::Other { kind, .. } => kind,
                }
            }
        }
    };
}

pub(super) use event_kinds;
