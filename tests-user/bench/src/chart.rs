// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One picture of a run: what an operation and the worst insert cost over the
//! number of tuples, of the module and its peers.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::OURS;
use crate::bench::Bench;
use crate::peers::{Dash, Named, Papaya, Scc, Sharded};

const SIZE: (u32, u32) = (960, 420);
/// Colours that the colour-blind can tell apart, by contender.
const COLOURS: [(&str, RGBColor); 5] = [
    (OURS, RGBColor(0x00, 0x72, 0xb2)),
    (Dash::NAME, RGBColor(0xd5, 0x5e, 0x00)),
    (Sharded::NAME, RGBColor(0x00, 0x9e, 0x73)),
    (Papaya::NAME, RGBColor(0xcc, 0x79, 0xa7)),
    (Scc::NAME, RGBColor(0xe6, 0x9f, 0x00)),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Tuples and nanoseconds of a contender.
type Curve = (&'static str, Vec<(f64, f64)>);

/// The picture as SVG. None: the rows that it shows were not measured.
///
/// # Errors
/// It cannot be drawn.
pub fn svg(bench: &Bench) -> Result<Option<String>> {
    let panels = [
        ("register + remove", pairs(bench)),
        ("worst insert while it grows", worst(bench)),
    ];
    if panels.iter().any(|(_, curves)| curves.is_empty()) {
        return Ok(None);
    }
    let mut svg = String::new();
    draw(&mut svg, &panels).map_err(|error| anyhow!("the chart: {error}"))?;
    Ok(Some(svg))
}

fn pairs(bench: &Bench) -> Vec<Curve> {
    let of = |name| {
        let points = bench.sizes.iter().filter_map(|size| {
            let ns = size.pair(name)?;
            Some((f64::from(size.tuples), ns))
        });
        (name, points.collect())
    };
    let curves = COLOURS.iter().map(|&(name, _)| of(name));
    curves
        .filter(|(_, points): &Curve| points.len() > 1)
        .collect()
}

fn worst(bench: &Bench) -> Vec<Curve> {
    let of = |(name, points): &(&'static str, Vec<(u32, f64)>)| {
        let points = points.iter().map(|&(tuples, ns)| (f64::from(tuples), ns));
        (*name, points.collect())
    };
    bench.worst.iter().map(of).collect()
}

type DrawingResult = Result<(), Box<dyn std::error::Error>>;

fn draw(svg: &mut String, panels: &[(&str, Vec<Curve>)]) -> DrawingResult {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    for ((title, curves), area) in panels.iter().zip(root.split_evenly((1, panels.len()))) {
        panel(&area, title, curves)?;
    }
    root.present()?;
    Ok(())
}

fn panel(area: &Area<'_>, title: &str, curves: &[Curve]) -> DrawingResult {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let tuples = points().map(|point| point.0);
    let ns = points().map(|point| point.1);
    let (fewest, most) = bounds(tuples);
    let (least, longest) = bounds(ns);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (fewest..most).log_scale(),
            (least / 2.0..longest * 2.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("tuples")
        .x_label_formatter(&|tuples| count(*tuples))
        .y_label_formatter(&|ns| time(*ns))
        .draw()?;
    for (name, points) in curves {
        let colour = COLOURS.iter().find(|colour| colour.0 == *name);
        let colour = colour.map_or(BLACK, |colour| colour.1);
        let width = if *name == OURS { 3 } else { 1 };
        let style = colour.stroke_width(width);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(least, most), value| {
        (value.min(least), value.max(most))
    })
}

fn count(tuples: f64) -> String {
    match tuples {
        1e6.. => format!("{:.0} M", tuples / 1e6),
        1e3.. => format!("{:.0} k", tuples / 1e3),
        _ => format!("{tuples:.0}"),
    }
}

fn time(ns: f64) -> String {
    match ns {
        1e6.. => format!("{:.0} ms", ns / 1e6),
        1e3.. => format!("{:.0} us", ns / 1e3),
        _ => format!("{ns:.0} ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_each_contender_is_drawn() {
        let curves: Vec<Curve> = COLOURS
            .iter()
            .map(|&(name, _)| (name, vec![(1e3, 60.0), (1e7, 300.0)]))
            .collect();
        let mut svg = String::new();
        draw(&mut svg, &[("pair", curves)]).expect("a picture");
        for (name, RGBColor(red, green, blue)) in COLOURS {
            assert!(svg.contains(name), "{name}");
            let colour = format!("#{red:02X}{green:02X}{blue:02X}");
            assert!(svg.contains(&colour), "{colour}: {svg}");
        }
        assert!(svg.contains("10 k") && svg.contains("100 ns"), "{svg}");
    }
}
