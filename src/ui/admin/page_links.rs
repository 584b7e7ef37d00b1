//! The links between the pages of a list.

use crate::ui::fleet::view::address;

/// The links of one page.
pub(in crate::ui) struct PageLinks {
    /// The address of the first page; `""`: this is it.
    pub first: String,
    /// The address of the page before; `""`: there is none.
    pub previous: String,
    /// The address of the next page; `""`: there is none.
    pub next: String,
    /// The number of this page, from 1.
    pub number: i64,
    /// How many there are.
    pub count: i64,
}

impl PageLinks {
    /// The links of page `number` of `count`, of a list at `path` with these parameters.
    pub fn of<N: AsRef<str>>(path: &str, parameters: &[(N, String)], number: i64, count: i64) -> Self {
        let to = |number: i64| {
            let mut all: Vec<(&str, String)> = parameters.iter().map(|(name, value)| (name.as_ref(), value.clone())).collect();
            if number > 1 {
                all.push(("page", number.to_string()));
            }
            address(path, &all)
        };
        let some = |is_there: bool, number: i64| if is_there { to(number) } else { String::new() };
        Self {
            first: some(number > 2, 1),
            previous: some(number > 1, number - 1),
            next: some(number < count, number + 1),
            number,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_leads_to_its_neighbours() {
        let links = |number, count| {
            let PageLinks { first, previous, next, .. } = PageLinks::of("/users", &[("q", "a".to_owned())], number, count);
            [first, previous, next]
        };
        assert_eq!(links(1, 1), ["", "", ""]);
        assert_eq!(links(1, 2), ["", "", "/users?q=a&page=2"]);
        assert_eq!(links(2, 2), ["", "/users?q=a", ""]);
        assert_eq!(links(3, 4), ["/users?q=a", "/users?q=a&page=2", "/users?q=a&page=4"]);
    }
}
