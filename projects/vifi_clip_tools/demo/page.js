() => {
  const answer = document.getElementById('vifi-answer');
  const top = answer.getBoundingClientRect().top;
  if (top < 0 || top > window.innerHeight * 0.7)
    answer.scrollIntoView({behavior: 'smooth', block: 'start'});
}
